"""Work that no request does on the event loop: jobs in threads of their own, and bounded pools of threads."""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from threading import BoundedSemaphore, Lock, Thread
from typing import ParamSpec, TypeVar

from tierrec_core.base.errors import TierRecError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class OverloadError(TierRecError):
    """A pool has as many calls waiting as it takes; send the request again."""


class BackgroundJob:
    """A job that runs in its own thread when it is asked for, one run at a time. The thread ends with the process.

    is_done: whether a run would find nothing to do; needs no I/O
    """

    def __init__(self, name: str, job: Callable[[], object], is_done: Callable[[], bool]) -> None:
        self._name, self._job, self.is_done = name, job, is_done
        self._lock, self._queue = Lock(), SimpleQueue[Future[None] | None]()
        self._run: Future[None] | None = None
        self._started = 0.0
        Thread(target=self._work, name=name, daemon=True).start()

    async def catch_up(self, patience: float) -> None:
        """Start a run if there is something to do, and wait until it is done.

        A run is waited for until so many seconds after its start, so that a slow one delays requests only once.
        """
        for _ in range(2):  # a run in progress may have started before the change
            if self.is_done():
                return
            run = self._start()
            left = self._started + patience - time.monotonic()
            if left <= 0:
                return
            await asyncio.wait([asyncio.wrap_future(run)], timeout=left)

    def close(self) -> None:
        """End the thread after the current run."""
        self._queue.put(None)

    def _start(self) -> Future[None]:
        with self._lock:
            if self._run is None or self._run.done():
                self._run, self._started = Future(), time.monotonic()
                self._queue.put(self._run)
            return self._run

    def _work(self) -> None:
        while (run := self._queue.get()) is not None:
            try:
                self._job()
            except BaseException as error:  # the next run may succeed; a panic of a Rust library is no Exception
                log.error("%s failed: %s", self._name, type(error).__name__)
            finally:
                run.set_result(None)


class Bulkhead:
    """A pool of threads with a bounded queue, so that calls of one kind cannot take the threads of another."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._name, self._free = name, BoundedSemaphore(threads + waiting)
        self._pool = ThreadPoolExecutor(threads, name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function in a thread. Raises OverloadError if too many calls wait."""
        if not self._free.acquire(blocking=False):
            raise OverloadError(f"{self._name}: too many requests wait; send the request again")
        future = self._pool.submit(contextvars.copy_context().run, partial(function, *args, **kwargs))
        future.add_done_callback(lambda _: self._free.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Start no further calls."""
        self._pool.shutdown(wait=False, cancel_futures=True)
