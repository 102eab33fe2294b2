"""Measures for how long the callbacks of an event loop keep it from others."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

_BEAT_SECONDS = 0.005


@dataclass
class Stalls:
    """The longest time between two beats of the loop, by what its thread did: computed, or waited for something else.

    A busy machine lets the thread wait, too, for the processor or the interpreter, but makes it compute no more.
    """

    computed: float = 0.0
    waited: float = 0.0


@contextlib.asynccontextmanager
async def measured() -> AsyncIterator[Stalls]:
    """The stalls of the running loop while the block runs. Garbage is not collected meanwhile."""
    stalls = Stalls()

    async def beat() -> None:
        while True:
            cpu, wall = time.thread_time(), time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)
            computed = time.thread_time() - cpu
            stalls.computed = max(stalls.computed, computed)
            stalls.waited = max(stalls.waited, time.monotonic() - wall - computed)

    gc.collect()
    gc.disable()
    beating = asyncio.create_task(beat())
    try:
        yield stalls
    finally:
        beating.cancel()
        gc.enable()
