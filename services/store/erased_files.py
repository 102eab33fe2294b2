"""Removes what was erased from the files of a SQLite store, where deleted rows leave copies."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from services.store.database import Database
from services.store.records import StoreError
from services.store.schema import ERASURES

_VACUUMED, _DONE = "application_id", "user_version"
_VACUUM_COPIES = 2  # of the database, in a temporary file and in the log


@dataclass(frozen=True)
class ErasedFiles:
    """Removes the copies, and knows which erasures have left none.

    secure_delete leaves copies where SQLite has moved rows between pages, hence a vacuum, which rewrites the database
    while writers wait. Its pages, and the old ones, are in the log until a checkpoint, for which all readers must have
    ended. Two numbers of the database's header are the same for all processes, and part of each backup: application_id
    is the last erasure before the last vacuum, and user_version the last one of which no copy is left.
    """

    database: Database

    def is_done(self, erasure: int) -> bool:
        """Whether no copy of what the erasure of this id deleted is left. Raises StoreError."""
        return self.database.path is None or self._mark(_DONE) >= erasure  # PostgreSQL's vacuum reuses the rows

    def purge(self, seconds: float) -> bool:
        """Remove the copies of all erasures so far, and return whether none is left. Raises StoreError.

        seconds: for which other users of the log are waited for, and writers wait, before and after a vacuum
        """
        path = self.database.path
        if path is None:
            return True
        if self._mark(_DONE) == self._last():
            return True
        if not self.database.truncate_log(seconds):  # a vacuum would add the whole database to the log
            return False
        last = self._last()  # with the erasures made while the log was waited for
        if self._mark(_VACUUMED) != last:
            self._vacuum(path, seconds)
            self._set_mark(_VACUUMED, last)
            if not self.database.truncate_log(seconds):
                return False
        self._set_mark(_DONE, last)
        return True

    def _vacuum(self, path: Path, seconds: float) -> None:
        free, wanted = shutil.disk_usage(path.parent).free, _VACUUM_COPIES * path.stat().st_size
        if free < wanted:
            raise StoreError(
                f"{path}: {free / 1e6:,.0f} MB of the disk are free, and a vacuum, which removes what was erased, "
                f"needs {wanted / 1e6:,.0f} MB; free some space"
            )
        try:
            self.database.vacuum()
        except StoreError:
            self.database.truncate_log(seconds)  # it is as large as the database, without a use
            raise

    def _last(self) -> int:
        with self.database.reading() as connection:
            return int(connection.scalar(select(func.coalesce(func.max(ERASURES.c.id), 0))) or 0)

    def _mark(self, name: str) -> int:
        with self.database.reading() as connection:
            return int(connection.exec_driver_sql(f"pragma {name}").scalar() or 0)

    def _set_mark(self, name: str, erasure: int) -> None:
        with self.database.writing(patient=True) as connection:
            connection.exec_driver_sql(f"pragma {name} = {erasure:d}")
