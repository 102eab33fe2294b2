"""Events, impressions, posted items and users, erasures."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the five tables."""
    _events()
    _impressions()
    for table, key in (("items", "item_id"), ("users", "user_id")):
        op.create_table(
            table,
            _cursor("revision"),
            sa.Column(key, sa.Text, nullable=False),
            sa.Column("attributes", sa.JSON, nullable=False),
            sa.UniqueConstraint(key, name=f"{table}_{key.removesuffix('_id')}"),
            sqlite_autoincrement=True,
        )
    op.create_table(
        "erasures",
        _cursor("id"),
        sa.Column("user_hash", sa.Text, nullable=False),
        sa.Column("last_event_id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


def _cursor(name: str) -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column(name, kind, primary_key=True, autoincrement=True)


def _events() -> None:
    op.create_table(
        "events",
        _cursor("id"),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("item_id", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("quantity", sa.Float),
        sa.Column("session_id", sa.Text),
        sa.Column("channel", sa.Text),
        sa.Column("request_id", sa.Text),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("key", name="events_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_user", "events", ["user_id", "timestamp"])


def _impressions() -> None:
    op.create_table(
        "impressions",
        _cursor("id"),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("surface", sa.Text, nullable=False),
        sa.Column("items", sa.JSON, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("variant", sa.Text),
        sa.Column("experiment", sa.Text),
        sa.Column("propensity", sa.Float, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("request_id", name="impressions_request"),
        sqlite_autoincrement=True,
    )
    op.create_index("impressions_user", "impressions", ["user_id"])
    op.create_index("impressions_experiment", "impressions", ["experiment", "user_id"])
