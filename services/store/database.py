"""SQLite or PostgreSQL behind one interface: one writer at a time, so that cursors become visible in order."""

import contextlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Any, Self

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from services.store.migrations import upgrade
from services.store.records import StoreError
from tierrec_core.base.errors import SettingsError

log = logging.getLogger(__name__)

_SQLITE, _POSTGRESQL = "sqlite", "postgresql"
_OWNER_ONLY = 0o600
_SECONDS, _PATIENT_SECONDS = 5, 300  # for which a statement, a lock or a connection is waited for
_POLL_SECONDS = 0.01
# The key of PostgreSQL's advisory lock is an arbitrary number that no other application uses.
_BEGIN_POSTGRESQL = """
select pg_advisory_xact_lock(7415237201),
       set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), true)
"""
_BUSY_TIMEOUT = f"busy_timeout = {_SECONDS * 1000}"
_PRAGMAS = (
    _BUSY_TIMEOUT,
    "synchronous = FULL",  # NORMAL would lose the last commits in a power failure
    "foreign_keys = ON",
    "secure_delete = ON",
)


@dataclass(frozen=True)
class Database:
    """A database that is migrated before its first use. Any thread may use its connections, but not across a fork.

    reader: the same connections with a transaction for each statement
    write_lock: threads of this process queue here rather than at the database
    migrated: set once the tables are those of this version; threads queue for that at migration_lock
    """

    engine: Engine
    reader: Engine
    write_lock: Lock = field(default_factory=Lock)
    migrated: Event = field(default_factory=Event)
    migration_lock: Lock = field(default_factory=Lock)

    @classmethod
    def open(cls, url: str, *, may_be_away: bool = False) -> Self:
        """Connect, and create the folder and the tables where missing; several processes may do this at the same time.

        may_be_away: a database that does not answer is tried again at each use
        Raises SettingsError for a URL of another kind of database, StoreError when the database does not answer.
        """
        engine = _create_engine(_parse_url(url))
        reader = engine
        if engine.dialect.name == _SQLITE:
            _configure_connections(engine, Path(str(engine.url.database)))
        else:
            reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        database = cls(engine, reader)
        try:
            database.create_file()
            database.migrate(patient=not may_be_away)
        except StoreError as error:
            if not may_be_away:
                raise
            log.warning("%s", error)
        return database

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(str(self.engine.url.database)) if self._is_sqlite else None

    @property
    def _is_sqlite(self) -> bool:
        return self.engine.dialect.name == _SQLITE

    @contextlib.contextmanager
    def writing(self, *, patient: bool = False) -> Iterator[Connection]:
        """Begin a transaction that is durable when the block ends. Raises StoreError after a rollback.

        patient: wait for minutes, not seconds.
        """
        self.migrate()
        with self._writing(patient) as connection:
            yield connection

    @contextlib.contextmanager
    def _writing(self, patient: bool) -> Iterator[Connection]:
        """PostgreSQL assigns ids before the commit: without the lock a reader could see a later id first."""
        with (
            self._locked(patient),
            self._translate_errors(),
            self.engine.begin() as connection,
            _waits(connection, patient),
        ):
            connection.exec_driver_sql("begin immediate" if self._is_sqlite else _BEGIN_POSTGRESQL)
            yield connection

    @contextlib.contextmanager
    def reading(self, *, patient: bool = False) -> Iterator[Connection]:
        """Connect to read committed rows. Raises StoreError. patient: wait for minutes, not seconds."""
        self.migrate()
        with self._reading(patient) as connection:
            yield connection

    @contextlib.contextmanager
    def _reading(self, patient: bool) -> Iterator[Connection]:
        with self._translate_errors(), self.reader.connect() as connection, _waits(connection, patient):
            yield connection

    def add_new(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert the rows whose unique column holds a new value; return how many."""
        if not rows:
            return 0
        insert = (sqlite.insert if self._is_sqlite else postgresql.insert)(table).on_conflict_do_nothing()
        return connection.execute(insert, rows, execution_options={"preserve_rowcount": True}).rowcount

    def vacuum(self) -> None:
        """Rewrite SQLite's file without deleted rows. Raises StoreError."""
        with self._locked(patient=True), self._translate_errors(), self.engine.connect() as connection:
            connection.exec_driver_sql("vacuum")

    def truncate_log(self, seconds: float) -> bool:
        """Move SQLite's log into its file and empty it; False if another connection uses it. Raises StoreError.

        seconds: for which readers, writers and checkpoints are waited for, and writers wait
        """
        end = time.monotonic() + seconds
        with self._translate_errors(), self.engine.connect() as connection:
            try:
                while True:
                    remaining = max(end - time.monotonic(), 0.0)
                    connection.exec_driver_sql(f"pragma busy_timeout = {round(remaining * 1000)}")
                    if not connection.exec_driver_sql("pragma wal_checkpoint(truncate)").scalar():
                        return True
                    if not remaining:
                        return False
                    time.sleep(min(remaining, _POLL_SECONDS))  # SQLite does not wait for another checkpoint
            finally:
                connection.exec_driver_sql(f"pragma {_BUSY_TIMEOUT}")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def create_file(self) -> None:
        """Create the file of SQLite's database where missing. Raises StoreError."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=_OWNER_ONLY)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be opened ({error}); check the folder's permissions") from error

    def migrate(self, *, patient: bool = True) -> None:
        """Create or upgrade the tables, once. Raises StoreError when the database does not answer.

        patient: wait for minutes, not seconds, while other threads get the error after seconds
        """
        if self.migrated.is_set():
            return
        if not self.migration_lock.acquire(timeout=_SECONDS):
            raise StoreError(f"{self._url}: another thread has not opened it within {_SECONDS} s; try again")
        try:
            if not self.migrated.is_set():
                self._migrate(patient)
                self.migrated.set()
        finally:
            self.migration_lock.release()

    def _migrate(self, patient: bool) -> None:
        if self.path is None:
            with self._writing(patient) as connection:
                upgrade(connection)
            return
        try:
            with FileLock(f"{self.path}.lock", timeout=_PATIENT_SECONDS if patient else _SECONDS):
                with self._reading(patient=False) as connection:
                    connection.exec_driver_sql("pragma journal_mode = wal")
                with self._writing(patient=False) as connection:
                    upgrade(connection)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be opened ({error}); check the folder's permissions") from error

    @contextlib.contextmanager
    def _locked(self, patient: bool) -> Iterator[None]:
        """Hold the lock of this process's writers. Raises StoreError if another one holds it too long."""
        if not self.write_lock.acquire(timeout=_PATIENT_SECONDS if patient else _SECONDS):
            raise StoreError(f"{self._url}: another write has not ended within {_SECONDS} s; try again")
        try:
            yield
        finally:
            self.write_lock.release()

    @property
    def _url(self) -> str:
        return self.engine.url.render_as_string(hide_password=True)

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Convert a driver's error into a StoreError without the rows that it quotes."""
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
            raise StoreError(
                f"{self._url}: {reason}; check that the database is running and has free space, then try again"
            ) from error


def _parse_url(text: str) -> URL:
    """Parse the URL of a database and set the driver that is installed."""
    hint = "wanted sqlite:///PATH or postgresql://USER@HOST/NAME"
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise SettingsError(f"store: not the URL of a database; {hint}") from error
    if url.drivername in {_POSTGRESQL, f"{_POSTGRESQL}+psycopg"}:
        return url.set(drivername=f"{_POSTGRESQL}+psycopg")
    if url.drivername != _SQLITE or (url.database or ":memory:") == ":memory:":
        shown = url.render_as_string(hide_password=True)
        raise SettingsError(f"store: {shown!r} is not a supported database; {hint}")
    return url


def _create_engine(url: URL) -> Engine:
    is_server = url.get_backend_name() == _POSTGRESQL
    options: dict[str, Any] = {"hide_parameters": True, "json_deserializer": _parse_json, "pool_timeout": _SECONDS}
    try:
        engine = create_engine(url, pool_pre_ping=is_server, **options)
        if is_server:
            from services.store.postgres import connect  # only if its driver is installed

            event.listen(engine, "do_connect", lambda _, __, args, parameters: connect(*args, **parameters))
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"store: {error.name} is not installed, PostgreSQL needs it; run pip install 'tierrec[postgres]'"
        ) from error
    return engine


@contextlib.contextmanager
def _waits(connection: Connection, patient: bool) -> Iterator[None]:
    """Set for how long PostgreSQL is waited for; SQLite is always waited for, since it computes in this process."""
    driver: Any = connection.connection.driver_connection
    if patient and hasattr(driver, "seconds"):
        driver.seconds = _PATIENT_SECONDS
    try:
        yield
    finally:
        if patient and hasattr(driver, "seconds"):
            driver.seconds = _SECONDS


def _parse_json(text: str) -> Any:
    """The value of a JSON column; False, which no column holds, for a text of another program that is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return False


def _configure_connections(engine: Engine, path: Path) -> None:
    """Set the pragmas of each new connection; SQLite's driver must not begin transactions by itself.

    A connection goes on with a file that was deleted or replaced, and what it commits would be lost.
    """

    @event.listens_for(engine, "checkout")
    def check_file(_: Any, record: ConnectionPoolEntry, __: Any) -> None:
        try:
            inode = path.stat().st_ino
        except OSError as error:
            raise StoreError(f"{path}: is gone ({error.strerror}); restore it, or start the service anew") from error
        if record.info.setdefault("inode", inode) != inode:
            raise DisconnectionError(f"{path}: was replaced")  # the pool connects again

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"pragma {pragma}")
