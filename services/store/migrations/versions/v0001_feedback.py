"""The tables of events, impressions, posted items and users, and erasures."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the five tables."""
    _create(
        "events",
        "id",
        *_columns(sa.Text, "key", "user_id", "item_id", "event"),
        *_columns(sa.BigInteger, "timestamp"),
        *_columns(sa.Float, "value", "quantity", nullable=True),
        *_columns(sa.Text, "session_id", "channel", "request_id", nullable=True),
        *_columns(sa.BigInteger, "received_at"),
        sa.UniqueConstraint("key", name="events_key"),
    )
    op.create_index("events_user", "events", ["user_id", "timestamp"])
    _create(
        "impressions",
        "id",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("surface", sa.Text, nullable=False),
        sa.Column("items", sa.JSON, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("model_version", sa.Text, nullable=False),
        *_columns(sa.Text, "variant", "experiment", nullable=True),
        sa.Column("propensity", sa.Float, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("request_id", name="impressions_request"),
    )
    op.create_index("impressions_user", "impressions", ["user_id"])
    op.create_index("impressions_experiment", "impressions", ["experiment", "user_id"])
    for table, key in (("items", "item_id"), ("users", "user_id")):
        unique = sa.UniqueConstraint(key, name=f"{table}_{key.removesuffix('_id')}")
        _create(table, "revision", *_columns(sa.Text, key), *_columns(sa.JSON, "attributes"), unique)
    columns = (*_columns(sa.Text, "user_hash"), *_columns(sa.BigInteger, "last_event_id", "at"))
    _create("erasures", "id", *columns)


def _create(table: str, cursor: str, *parts: Any) -> None:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        table, sa.Column(cursor, kind, primary_key=True, autoincrement=True), *parts, sqlite_autoincrement=True
    )


def _columns(kind: Any, *names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=nullable) for name in names]
