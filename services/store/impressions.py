"""Impressions on their way into the store: answers do not wait for them, and a burst is one transaction."""

import queue
import threading
import time
from collections.abc import Callable

from services.store import Impression, Store, StoreError
from tierrec_core.base.errors import DataError

_BATCH = 500
_PAUSE = 0.05
_CAPACITY = 100_000


class ImpressionWriter:
    """A bounded queue and the thread that empties it. What finds no room is dropped and counted.

    hash_of: gives the hash by which an erased user is remembered; what waits of them is not written
    """

    def __init__(
        self,
        store: Store,
        dropped: Callable[[int], None],
        capacity: int = _CAPACITY,
        hash_of: Callable[[str], str] | None = None,
    ) -> None:
        self._store, self._dropped, self._hash_of = store, dropped, hash_of
        self._queue: queue.Queue[Impression] = queue.Queue(capacity)
        self._oldest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="impressions", daemon=True)
        self._thread.start()

    def put(self, impression: Impression) -> None:
        """Take one over; never waits."""
        try:
            self._queue.put_nowait(impression)
        except queue.Full:
            self._dropped(1)

    def find(self, request_id: str) -> Impression | None:
        """The impression of a request, from the store, or from among those that wait."""
        with self._queue.mutex:
            waiting = [one for one in self._queue.queue if one.request_id == request_id]
        return waiting[0] if waiting else self._store.impression(request_id)

    @property
    def waiting(self) -> int:
        """How many are not in the store yet."""
        return self._queue.qsize()

    @property
    def lag_seconds(self) -> float:
        """How long the batch that is being written has waited; 0 when nothing does."""
        return time.monotonic() - self._oldest if self._oldest else 0.0

    def close(self) -> None:
        """Write what is waiting, then end."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not (self._ended.is_set() and self._queue.empty()):
            batch = self._take()
            if batch:
                self._write(batch)
            self._ended.wait(_PAUSE)

    def _take(self) -> list[Impression]:
        batch: list[Impression] = []
        while len(batch) < _BATCH:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _write(self, batch: list[Impression]) -> None:
        """Try until the store takes them, or we are to end; what it can never take is dropped, and the rest kept."""
        self._oldest = time.monotonic()
        while True:
            try:
                self._store.add_impressions(batch, self._hash_of)
                break
            except StoreError:
                if self._ended.wait(1.0):
                    self._dropped(len(batch))
                    break
            except DataError:
                if len(batch) == 1:
                    self._dropped(1)
                    break
                for one in batch:
                    self._write([one])
                break
        self._oldest = 0.0
