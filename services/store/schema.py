"""The tables of the feedback store. A change here needs a new file in migrations/versions.

The first column of each table is its cursor: it grows with every commit and is never reused, so that a reader which
continues after the last one that it saw misses nothing.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Dialect, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class UtcTimestamp(TypeDecorator[datetime]):
    """A time as microseconds since 1970 UTC: exact, and the same arithmetic in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> int | None:
        """Convert a time to the database's integer."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any | None, _: Dialect) -> datetime | None:
        """Convert the database's integer to a time."""
        return None if value is None else _EPOCH + value * _MICROSECOND


def _cursor(name: str) -> Column[int]:
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


METADATA = MetaData()

EVENTS = Table(
    "events",
    METADATA,
    _cursor("id"),
    Column("key", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("item_id", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("timestamp", UtcTimestamp, nullable=False),
    Column("value", Float),
    Column("quantity", Float),
    Column("session_id", Text),
    Column("channel", Text),
    Column("request_id", Text),
    Column("received_at", UtcTimestamp, nullable=False),
    UniqueConstraint("key", name="events_key"),
    Index("events_user", "user_id", "timestamp"),
    sqlite_autoincrement=True,
)

IMPRESSIONS = Table(
    "impressions",
    METADATA,
    _cursor("id"),
    Column("request_id", Text, nullable=False),
    Column("user_id", Text),
    Column("surface", Text, nullable=False),
    Column("items", JSON, nullable=False),
    Column("path", Text, nullable=False),
    Column("reason", Text),
    Column("model_version", Text, nullable=False),
    Column("variant", Text),
    Column("experiment", Text),
    Column("propensity", Float, nullable=False),
    Column("at", UtcTimestamp, nullable=False),
    UniqueConstraint("request_id", name="impressions_request"),
    Index("impressions_user", "user_id"),
    Index("impressions_at", "at"),
    Index("impressions_experiment", "experiment", "user_id"),
    sqlite_autoincrement=True,
)

ITEMS = Table(
    "items",
    METADATA,
    _cursor("revision"),
    Column("item_id", Text, nullable=False),
    Column("attributes", JSON, nullable=False),
    UniqueConstraint("item_id", name="items_item"),
    sqlite_autoincrement=True,
)

USERS = Table(
    "users",
    METADATA,
    _cursor("revision"),
    Column("user_id", Text, nullable=False),
    Column("attributes", JSON, nullable=False),
    UniqueConstraint("user_id", name="users_user"),
    sqlite_autoincrement=True,
)

ERASURES = Table(
    "erasures",
    METADATA,
    _cursor("id"),
    Column("user_hash", Text, nullable=False),
    Column("last_event_id", BigInteger, nullable=False),
    Column("at", UtcTimestamp, nullable=False),
    sqlite_autoincrement=True,
)
