"""The tables of the feedback store. A change here needs a new file in migrations/versions.

The first column of each table is its cursor: it grows with every commit and is never reused, so that a reader
that continues after the last value that it has read misses no row.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Dialect, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST, _LAST = ((moment.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND for moment in (datetime.min, datetime.max))


class UtcTimestamp(TypeDecorator[datetime]):
    """A time as microseconds since 1970 UTC: exact, and the same arithmetic in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> int | None:
        """Convert a time to the database's integer."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any | None, _: Dialect) -> datetime | None:
        """Convert the database's integer to a time.

        Of what others wrote, a time that no calendar has becomes the nearest, and a value that is no number 1970.
        """
        if value is None:
            return None
        if not isinstance(value, int | float):  # SQLite's columns hold values of any type
            return _EPOCH
        return _EPOCH + min(max(value, _FIRST), _LAST) * _MICROSECOND


METADATA = MetaData()


def _table(name: str, cursor: str, *items: SchemaItem) -> Table:
    key = Column(cursor, BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    return Table(name, METADATA, key, *items, sqlite_autoincrement=True)


def _columns(kind: Any, *names: str, nullable: bool = False) -> list[Column[Any]]:
    return [Column(name, kind, nullable=nullable) for name in names]


EVENTS = _table(
    "events",
    "id",
    *_columns(Text, "key", "user_id", "item_id", "event"),
    *_columns(UtcTimestamp, "timestamp"),
    *_columns(Float, "value", "quantity", nullable=True),
    *_columns(Text, "session_id", "channel", "request_id", nullable=True),
    *_columns(UtcTimestamp, "received_at"),
    UniqueConstraint("key", name="events_key"),
    Index("events_user", "user_id", "timestamp"),
)

IMPRESSIONS = _table(
    "impressions",
    "id",
    Column("request_id", Text, nullable=False),
    Column("user_id", Text),
    Column("surface", Text, nullable=False),
    Column("items", JSON, nullable=False),
    Column("path", Text, nullable=False),
    Column("reason", Text),
    Column("model_version", Text, nullable=False),
    *_columns(Text, "variant", "experiment", nullable=True),
    Column("propensity", Float, nullable=False),
    Column("at", UtcTimestamp, nullable=False),
    UniqueConstraint("request_id", name="impressions_request"),
    Index("impressions_user", "user_id"),
    Index("impressions_at", "at"),
    Index("impressions_experiment", "experiment", "user_id"),
)


def _posted(name: str, key: str) -> Table:
    unique = UniqueConstraint(key, name=f"{name}_{key.removesuffix('_id')}")
    return _table(name, "revision", *_columns(Text, key), *_columns(JSON, "attributes"), unique)


ITEMS, USERS = _posted("items", "item_id"), _posted("users", "user_id")

ERASURES = _table(
    "erasures",
    "id",
    *_columns(Text, "user_hash"),
    *_columns(BigInteger, "last_event_id"),
    *_columns(UtcTimestamp, "at"),
)
