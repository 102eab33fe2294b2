"""Removes what was erased from the files of a SQLite store, where deleted rows leave copies until a reader ends."""

import logging
from dataclasses import dataclass, field
from threading import Lock

from filelock import FileLock
from sqlalchemy import func, select

from services.store.database import Database
from services.store.schema import ERASURES

log = logging.getLogger(__name__)

_LOCK_SECONDS = 5.0


@dataclass
class ErasedFiles:
    """The erasures whose rows may still be in the files.

    secure_delete leaves copies where SQLite has moved rows between pages, hence a vacuum, which rewrites the database:
    writers wait for it, about a second per million events. Its pages, and the old ones, are in the log until a
    checkpoint, for which all readers must have ended. The database's user_version is the last erasure that is done.

    vacuumed: the last erasure before a vacuum of this process
    """

    database: Database
    vacuumed: int = 0
    lock: Lock = field(default_factory=Lock)

    def purge(self, seconds: float) -> bool:
        """Remove what is left, and return whether nothing is; at once if nothing was. Raises StoreError.

        seconds: for which readers are waited for, and writers wait
        """
        path = self.database.path
        if path is None:  # PostgreSQL's vacuum reuses the rows
            return True
        try:
            with self.lock:
                if self._num_done() == self._last():
                    return True
                with FileLock(f"{path}.purge.lock", timeout=_LOCK_SECONDS):  # one process after the other
                    return self._purge(seconds)
        except OSError:  # another process purges for long, or its lock cannot be written
            return False

    def _purge(self, seconds: float) -> bool:
        last = self._last()
        if last > self.vacuumed:
            self.database.vacuum()
            self.vacuumed = last
        if not self.database.truncate_log(seconds):
            return False
        with self.database.writing(patient=True) as connection:
            connection.exec_driver_sql(f"pragma user_version = {last:d}")
        return True

    def _last(self) -> int:
        with self.database.reading() as connection:
            return int(connection.scalar(select(func.coalesce(func.max(ERASURES.c.id), 0))) or 0)

    def _num_done(self) -> int:
        with self.database.reading() as connection:
            return int(connection.exec_driver_sql("pragma user_version").scalar() or 0)
