"""An index on the time of impressions."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the index; writers are blocked for some seconds per million rows."""
    op.create_index("impressions_at", "impressions", ["at"])
