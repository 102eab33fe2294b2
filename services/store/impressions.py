"""Writes impressions to the store in the background and in batches, so that answers do not wait for them."""

import queue
import threading
import time
from collections.abc import Callable

from services.store import Impression, Store, StoreError
from tierrec_core.base.errors import DataError

_BATCH_SIZE = 500
_PAUSE_SECONDS = 0.05
_RETRY_SECONDS = 1.0
_CAPACITY = 100_000


class ImpressionWriter:
    """A bounded queue and the thread that writes it to the store. on_drop: counts impressions that found no room.

    hash_user: gives the hash by which an erased user is remembered; their queued impressions are not written
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
        """Return the impression of a request, queued or stored."""
        with self._queue.mutex:
            queued = [impression for impression in self._queue.queue if impression.request_id == request_id]
        return queued[0] if queued else self._store.impression(request_id)

    @property
    def num_queued(self) -> int:
        """The number of impressions that are not in the store yet."""
        return self._queue.qsize()

    @property
    def lag_seconds(self) -> float:
        """How long the current batch has been waiting for the store; 0 without one."""
        return time.monotonic() - self._batch_since if self._batch_since else 0.0

    def close(self) -> None:
        """Write what is queued, then stop."""
        self._is_closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not (self._is_closed.is_set() and self._queue.empty()):
            batch = self._take()
            if batch:
                self._write(batch)
            self._is_closed.wait(_PAUSE_SECONDS)

    def _take(self) -> list[Impression]:
        batch: list[Impression] = []
        while len(batch) < _BATCH_SIZE:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _write(self, batch: list[Impression]) -> None:
        """Write a batch, retrying until the store answers or the writer is closed; drop what is invalid."""
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
