"""Posting of events to a service that is killed repeatedly."""

import asyncio
import contextlib
import json
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from typing import Any

from benchmarks.serving.harness.load import HttpConnection, post

_RETRY_SECONDS = 0.02

Event = dict[str, Any]


@dataclass
class EventPoster:
    """Posts all batches; one that is not acknowledged is posted again, unchanged.

    acknowledged: session_id of each acknowledged event
    repeated: events that were stored although their first post was not acknowledged
    """

    port: int
    waiting: list[list[Event]]
    acknowledged: list[str] = field(default_factory=list)
    retries: int = 0
    repeated: int = 0

    async def post_all(self, num_connections: int) -> None:
        """Post with this number of concurrent connections."""
        await asyncio.gather(*(self._post() for _ in range(num_connections)))

    async def _post(self) -> None:
        connection = HttpConnection()
        while self.waiting:
            batch = self.waiting.pop()
            while not (connection.is_open and await self._is_acknowledged(connection, batch)):
                connection = await self._reconnected(connection)
            self.acknowledged += [event["session_id"] for event in batch]
        connection.close()

    async def _reconnected(self, connection: HttpConnection) -> HttpConnection:
        """A new connection, or after a pause the closed one when the port refuses it."""
        connection.close()
        try:
            return await HttpConnection.connect(self.port)
        except OSError:
            await asyncio.sleep(_RETRY_SECONDS)
            return connection

    async def _is_acknowledged(self, connection: HttpConnection, batch: list[Event]) -> bool:
        with contextlib.suppress(OSError, ValueError):
            response = await connection.request(post("/events", {"events": batch}))
            if response.status == 200:
                self.repeated += int(json.loads(response.body)["duplicates"])
                return True
        self.retries += 1
        return False


class KillableServer:
    """A process that runs serve(**settings), and can be killed and restarted.

    It is forked from a process that has imported everything and opened nothing, so that a restart is fast.
    """

    def __init__(self, serve: Callable[..., None], **settings: Any) -> None:
        self._serve, self._settings = serve, settings
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([serve.__module__])
        self._process: ForkServerProcess | None = None
        self.num_kills = 0

    def start(self) -> None:
        """Start without waiting until the server is ready."""
        self._process = self._context.Process(target=self._serve, kwargs=self._settings)
        self._process.start()

    def kill(self) -> None:
        """Send SIGKILL. Raises RuntimeError when the server has exited on its own."""
        self.check()
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process, self.num_kills = None, self.num_kills + 1

    def check(self) -> None:
        """Raise RuntimeError when the server has exited on its own."""
        if self._process is not None and self._process.exitcode is not None:
            raise RuntimeError(
                f"the server exited with {self._process.exitcode}, wanted it to run; see its output above"
            )


def compare(acknowledged: list[str], stored: dict[str, int]) -> dict[str, int]:
    """Compare acknowledged events with the number of times that each is stored."""
    return {
        "acknowledged": len(set(acknowledged)),
        "lost": len(set(acknowledged) - stored.keys()),
        "doubled": sum(count > 1 for count in stored.values()),
    }
