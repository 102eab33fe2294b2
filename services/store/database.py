"""SQLite or PostgreSQL behind one face: one writer at a time, so that cursors become visible in order."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Self

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from services.store.errors import StoreError
from services.store.migrations import upgrade
from tierrec_core.base.errors import SettingsError

_SQLITE, _POSTGRESQL = "sqlite", "postgresql"
_PATIENCE_SECONDS = 10
_MIGRATION_SECONDS = 300
# The key of PostgreSQL's advisory lock is any number that is ours alone.
_BEGIN_POSTGRESQL = """
select pg_advisory_xact_lock(7415237201),
       set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), true)
"""
_PRAGMAS = (
    f"busy_timeout = {_PATIENCE_SECONDS * 1000}",
    "synchronous = FULL",  # NORMAL would lose the last commits with the power
    "foreign_keys = ON",
    "secure_delete = ON",
)


@dataclass(frozen=True)
class Database:
    """A migrated database. Its connections may be used by any thread, but not across a fork.

    reader: the same connections, each statement for itself
    turn: this process's threads queue here rather than at the database
    """

    engine: Engine
    reader: Engine
    turn: Lock = field(default_factory=Lock)

    @classmethod
    def open(cls, url: str) -> Self:
        """Make the folder and the tables where they are missing; any number of processes may do so at once.

        Raises SettingsError when the URL is none of ours, StoreError when the database does not answer.
        """
        engine = _engine(_place(url))
        reader = engine
        if engine.dialect.name == _SQLITE:
            _listen(engine)
        else:
            reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        database = cls(engine, reader)
        database._prepare()
        return database

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(str(self.engine.url.database)) if self._is_sqlite else None

    @property
    def _is_sqlite(self) -> bool:
        return self.engine.dialect.name == _SQLITE

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is on disk when the block has ended well. Raises StoreError, and then nothing is kept.

        PostgreSQL gives out ids before the commit: without the lock a reader could see a later id first.
        """
        with self.turn, self._telling(), self.engine.begin() as connection:
            connection.exec_driver_sql("begin immediate" if self._is_sqlite else _BEGIN_POSTGRESQL)
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for a look at what is committed. Raises StoreError."""
        with self._telling(), self.reader.connect() as connection:
            yield connection

    def add_new(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert the rows whose unique column holds a new value; how many these are."""
        if not rows:
            return 0
        insert = (sqlite.insert if self._is_sqlite else postgresql.insert)(table).on_conflict_do_nothing()
        return connection.execute(insert, rows, execution_options={"preserve_rowcount": True}).rowcount

    def forget(self) -> None:
        """Clear what was deleted out of SQLite's file and log. Raises StoreError when a reader is in the way.

        secure_delete leaves copies where SQLite has moved rows between pages, hence the vacuum: it rewrites the file,
        and writers wait for it, about a second a million events.
        """
        if not self._is_sqlite:
            return
        with self.turn, self._telling(), self.engine.connect() as connection:
            connection.exec_driver_sql("vacuum")
            busy = connection.exec_driver_sql("pragma wal_checkpoint(truncate)").scalar()
        if busy:
            raise StoreError(f"{self.path}: a reader holds the log with erased rows; erase once more")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _prepare(self) -> None:
        if self.path is None:
            with self.writing() as connection:
                upgrade(connection)
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=_MIGRATION_SECONDS):
                with self.reading() as connection:
                    connection.exec_driver_sql("pragma journal_mode = wal")
                with self.writing() as connection:
                    upgrade(connection)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be opened ({error}); mend the folder's rights") from error

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what a driver says into a StoreError without the rows that it was about."""
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
            where = self.engine.url.render_as_string(hide_password=True)
            raise StoreError(
                f"{where}: {reason}; see that the database runs and has room, then try again"
            ) from error


def _place(url: str) -> URL:
    """The database that a URL names, with the driver that we ship."""
    wanted = "wanted sqlite:///PATH or postgresql://USER@HOST/NAME"
    try:
        place = make_url(url)
    except ArgumentError as error:
        raise SettingsError(f"store: this is no URL of a database; {wanted}") from error
    if place.drivername in {_POSTGRESQL, f"{_POSTGRESQL}+psycopg"}:
        return place.set(drivername=f"{_POSTGRESQL}+psycopg")
    if place.drivername != _SQLITE or (place.database or ":memory:") == ":memory:":
        found = place.render_as_string(hide_password=True)
        raise SettingsError(f"store: {found!r} keeps nothing that we can read; {wanted}")
    return place


def _engine(place: URL) -> Engine:
    is_server = place.get_backend_name() == _POSTGRESQL
    try:
        return create_engine(place, hide_parameters=True, pool_pre_ping=is_server)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"store: {error.name} is not installed, and PostgreSQL wants it; pip install 'tierrec[postgres]'"
        ) from error


def _listen(engine: Engine) -> None:
    """Set up each connection; SQLite's driver begins no transaction by itself."""

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"pragma {pragma}")
