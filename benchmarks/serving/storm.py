"""Events on their way to a service that is killed again and again: who posts them, and who is killed."""

import asyncio
import contextlib
import json
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from typing import Any

from benchmarks.serving.harness.load import Wire, post

_BREATH_SECONDS = 0.02

Event = dict[str, Any]


@dataclass
class Posters:
    """They post batches until none waits; one that is not acknowledged is posted again, unchanged.

    told: session_id of each acknowledged event; repeated: events that were kept before their acknowledgement came
    """

    port: int
    waiting: list[list[Event]]
    told: list[str] = field(default_factory=list)
    retries: int = 0
    repeated: int = 0

    async def post_all(self, posters: int) -> None:
        """So many at a time, each on a connection of its own."""
        await asyncio.gather(*(self._post() for _ in range(posters)))

    async def _post(self) -> None:
        wire = Wire()
        while self.waiting:
            batch = self.waiting.pop()
            while not (wire.is_open and await self._is_acknowledged(wire, batch)):
                wire = await self._reconnected(wire)
            self.told += [one["session_id"] for one in batch]
        wire.close()

    async def _reconnected(self, wire: Wire) -> Wire:
        """A new connection; the closed one, after a pause, when nobody listens."""
        wire.close()
        try:
            return await Wire.connect(self.port)
        except OSError:
            await asyncio.sleep(_BREATH_SECONDS)
            return wire

    async def _is_acknowledged(self, wire: Wire, batch: list[Event]) -> bool:
        with contextlib.suppress(OSError, ValueError):
            answer = await wire.ask(post("/events", {"events": batch}))
            if answer.status == 200:
                self.repeated += int(json.loads(answer.body)["duplicates"])
                return True
        self.retries += 1
        return False


class Victim:
    """A server in a process of its own, which can be killed and started again; serve(**settings) is all it does.

    It is forked from a process that has imported everything and opened nothing, so that it is back soon.
    """

    def __init__(self, serve: Callable[..., None], **settings: Any) -> None:
        self._serve, self._settings = serve, settings
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([serve.__module__])
        self._process: ForkServerProcess | None = None
        self.deaths = 0

    def start(self) -> None:
        """Return at once; it answers when it is ready."""
        self._process = self._context.Process(target=self._serve, kwargs=self._settings)
        self._process.start()

    def kill(self) -> None:
        """SIGKILL. Raises RuntimeError when it has ended by itself before."""
        self.check()
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process, self.deaths = None, self.deaths + 1

    def check(self) -> None:
        """Raise RuntimeError when it has ended by itself."""
        if self._process is not None and self._process.exitcode is not None:
            raise RuntimeError(f"the server ended by itself with {self._process.exitcode}; see above")


def compare(told: list[str], kept: dict[str, int]) -> dict[str, int]:
    """Acknowledged events against how often the store holds each."""
    return {
        "acknowledged": len(set(told)),
        "lost": len(set(told) - kept.keys()),
        "doubled": sum(count > 1 for count in kept.values()),
    }
