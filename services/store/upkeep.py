"""Threads that delete from a store while it is open; one of them completes erasures."""

import logging
import threading
import time
from abc import ABC, abstractmethod

from filelock import FileLock, Timeout

from services.store.records import StoreError
from services.store.store import Store

log = logging.getLogger(__name__)

_PURGE_INTERVAL_SECONDS = 1.0
_PURGE_SECONDS = 0.1  # for which writers wait while another program reads
_PAUSE_FACTOR = 20.0  # times the duration of a purge, so that writers wait for a twentieth of the time
_RETRY_SECONDS, _MAX_RETRY_SECONDS = 10.0, 3600.0


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
    """Removes what was erased from the files: one purge for all erasures so far, then a pause, longer after a failure.

    Of all processes that have the store open one does this, until it ends; the others look whether it has.
    """

    def __init__(self, store: Store, interval_seconds: float = _PURGE_INTERVAL_SECONDS) -> None:
        path = store.database.path
        self._lock = None if path is None else FileLock(f"{path}.purge.lock", blocking=False, thread_local=False)
        self._shortest, self._has_failed = interval_seconds, False
        super().__init__(store, interval_seconds)

    def close(self) -> None:
        """Stop after the current transaction, and let another process continue."""
        super().close()
        if self._lock is not None:
            self._lock.release()

    def _work(self) -> None:
        start = time.monotonic()
        try:
            if self._is_responsible():
                self._store.purge_erased(_PURGE_SECONDS)
        except (StoreError, OSError) as error:
            self._interval = min(max(_RETRY_SECONDS, 2 * self._interval, self._pause(start)), _MAX_RETRY_SECONDS)
            if not self._has_failed:
                wait = f"next try in {self._interval:.0f} s, then after twice as long, up to an hour"
                log.warning("erasures stay incomplete (202); %s: %s", wait, error)
            self._has_failed = True
        else:
            self._interval, self._has_failed = max(self._shortest, self._pause(start)), False

    def _pause(self, start: float) -> float:
        return _PAUSE_FACTOR * (time.monotonic() - start)

    def _is_responsible(self) -> bool:
        """Whether this process holds the lock, which the kernel releases when a process ends."""
        if self._lock is None:  # PostgreSQL vacuums by itself
            return False
        if not self._lock.is_locked:
            try:
                self._lock.acquire()
            except Timeout:
                return False
        return True
