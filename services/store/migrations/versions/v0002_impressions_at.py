"""Impressions are found by their moment."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the index; on a large table that takes seconds a million rows, in which nobody writes."""
    op.create_index("impressions_at", "impressions", ["at"])
