"""Threads that write impressions to the store in batches, so that answers do not wait, and delete old ones."""

import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from services.store import Impression, Store, StoreError
from services.store.upkeep import StoreUpkeep
from tierrec_core.base.errors import DataError

_BATCH_SIZE = 500
_PAUSE_SECONDS = 0.05
_RETRY_SECONDS = 1.0
_CAPACITY = 100_000
_PRUNE_INTERVAL_SECONDS = 3600.0


class ImpressionWriter:
    """A bounded queue and the thread that writes it to the store. on_drop: called with the number of dropped ones.

    hash_user: the hash under which an erased user is stored; their queued impressions are not written
    """

    def __init__(
        self,
        store: Store,
        on_drop: Callable[[int], None],
        capacity: int = _CAPACITY,
        hash_user: Callable[[str], str] | None = None,
    ) -> None:
        self._store, self._on_drop, self._hash_user = store, on_drop, hash_user
        self._queue: queue.Queue[Impression] = queue.Queue(capacity)
        self._batch: list[Impression] = []
        self._batch_since = 0.0
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="impressions", daemon=True)
        self._thread.start()

    def put(self, impression: Impression) -> None:
        """Queue an impression, or drop it when the queue is full; never waits."""
        try:
            self._queue.put_nowait(impression)
        except queue.Full:
            self._on_drop(1)

    def find(self, request_id: str) -> Impression | None:
        """Return the impression of a request, queued, being written or stored."""
        with self._queue.mutex:
            waiting = [*self._batch, *self._queue.queue]
        found = next((impression for impression in waiting if impression.request_id == request_id), None)
        return found or self._store.impression(request_id)

    @property
    def num_queued(self) -> int:
        """The number of impressions that are not in the store yet."""
        with self._queue.mutex:
            return len(self._batch) + len(self._queue.queue)

    @property
    def lag_seconds(self) -> float:
        """How long the current batch has been waiting for the store; 0 without one."""
        return time.monotonic() - self._batch_since if self._batch_since else 0.0

    def close(self) -> None:
        """Write the queued impressions, then stop."""
        self._is_closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not (self._is_closed.is_set() and self._queue.empty()):
            self._take()
            if self._batch:
                self._write(self._batch)
                self._batch = []
            self._is_closed.wait(_PAUSE_SECONDS)

    def _take(self) -> None:
        """Move impressions from the queue to the batch, so that `find` sees each in one of them."""
        with self._queue.mutex:
            waiting = self._queue.queue
            self._batch = [waiting.popleft() for _ in range(min(_BATCH_SIZE, len(waiting)))]

    def _write(self, batch: list[Impression]) -> None:
        """Write a batch, retrying until the store answers or the writer is closed; drop invalid impressions."""
        self._batch_since = time.monotonic()
        while True:
            try:
                self._store.add_impressions(batch, self._hash_user)
                break
            except StoreError:
                if self._is_closed.wait(_RETRY_SECONDS):
                    self._on_drop(len(batch))
                    break
            except DataError:
                if len(batch) == 1:
                    self._on_drop(1)
                    break
                for impression in batch:
                    self._write([impression])
                break
        self._batch_since = 0.0


class ImpressionRetention(StoreUpkeep):
    """Prunes a store when it starts and every hour after."""

    def __init__(self, store: Store, days: int, interval_seconds: float = _PRUNE_INTERVAL_SECONDS) -> None:
        self._period = timedelta(days=days)
        super().__init__(store, interval_seconds)

    def _work(self) -> None:
        self._store.prune(datetime.now(UTC) - self._period, stop=self._is_closed)
