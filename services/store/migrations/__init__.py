"""Migrates a database to the tables of schema.py with Alembic, inside the caller's transaction."""

from pathlib import Path
from threading import Lock
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationStep
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from sqlalchemy import Connection

# Alembic finds them by their folder; the imports make them code dependencies of the service.
from services.store.migrations.versions import v0001_feedback, v0002_impressions_at
from services.store.records import StoreError

_VERSIONS = (v0001_feedback, v0002_impressions_at)
NEWEST: str = _VERSIONS[-1].revision
_MIGRATION_LOCK = Lock()  # alembic.op, which the migrations call, is shared by all threads


def upgrade(connection: Connection) -> None:
    """Run the migrations that the database lacks; none when it is up to date.

    Raises StoreError if a newer release has migrated it.
    """
    scripts = ScriptDirectory(str(Path(__file__).parent))

    def steps(current: Any, _: Any) -> list[MigrationStep]:
        newer = list(scripts.iterate_revisions(NEWEST, current or "base"))
        return [MigrationStep.upgrade_from_script(scripts.revision_map, script) for script in reversed(newer)]

    try:
        with _MIGRATION_LOCK, EnvironmentContext(Config(), scripts, fn=steps) as environment:
            environment.configure(connection=connection)
            environment.run_migrations()
    except RevisionError as error:
        raise StoreError(
            f"store: its tables are of another release ({error}), wanted {NEWEST} or older; "
            "start the release that migrated them"
        ) from error
