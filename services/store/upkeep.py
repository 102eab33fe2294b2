"""Threads that delete from a store while it is open; one of them completes erasures."""

import logging
import threading
from abc import ABC, abstractmethod

from services.store.records import StoreError
from services.store.store import Store

log = logging.getLogger(__name__)

_PURGE_INTERVAL_SECONDS = 5.0
_PURGE_SECONDS = 0.05


class StoreUpkeep(ABC):
    """Work that a thread does at once and again at intervals, until closed. Requests never wait for it.

    Every worker may run one: to find that another worker has done the work costs one or two index lookups.
    """

    def __init__(self, store: Store, interval_seconds: float) -> None:
        self._store, self._interval = store, interval_seconds
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the current transaction."""
        self._is_closed.set()
        self._thread.join()

    @abstractmethod
    def _work(self) -> None:
        """Do the work once. Raises StoreError."""

    def _run(self) -> None:
        while not self._is_closed.is_set():
            try:
                self._work()
            except StoreError as error:
                log.warning("%s: next try in %.0f s: %s", type(self).__name__, self._interval, error)
            self._is_closed.wait(self._interval)


class ErasureCompletion(StoreUpkeep):
    """Completes erasures for which a reader of the database, or the end of a process, left copies in the files."""

    def __init__(self, store: Store, interval_seconds: float = _PURGE_INTERVAL_SECONDS) -> None:
        super().__init__(store, interval_seconds)

    def _work(self) -> None:
        self._store.purge_erased(_PURGE_SECONDS)
