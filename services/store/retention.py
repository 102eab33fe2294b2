"""Deletes impressions whose retention period has ended, in a thread of its own."""

import logging
import threading
from datetime import UTC, datetime, timedelta

from services.store.errors import StoreError
from services.store.store import Store

log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 3600.0


class ImpressionRetention:
    """Prunes a store when it starts and every hour after, until closed. Requests never wait for it.

    Every worker may run one: pruning what another worker has pruned costs one index lookup.
    """

    def __init__(self, store: Store, days: int, interval_seconds: float = _INTERVAL_SECONDS) -> None:
        self._store, self._period, self._interval = store, timedelta(days=days), interval_seconds
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="impression-retention", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the current transaction."""
        self._is_closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_closed.is_set():
            try:
                self._store.prune(datetime.now(UTC) - self._period, stop=self._is_closed)
            except StoreError as error:
                log.warning("old impressions are not deleted, next try in %.0f s: %s", self._interval, error)
            self._is_closed.wait(self._interval)
