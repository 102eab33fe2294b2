"""A load generator: HTTP/1.1 on raw sockets, connections that stay open, every request timed and every failure counted.

It is one process with one thread and belongs to no server's family, so that what it costs is on nobody's account.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np

HOST = "127.0.0.1"
_SECONDS = 60.0
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CLOSE = re.compile(rb"(?i)\r\nconnection: *close")


class Answer(NamedTuple):
    """A status and a body."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Load:
    """What came of a run.

    seconds: from the first request to the last answer; latencies: of the answers with status 200, in seconds
    failures: requests without such an answer, by reason; seen: answers by what the caller looked for in them
    """

    seconds: float
    latencies: tuple[float, ...]
    failures: Mapping[str, int]
    seen: Mapping[str, int]

    @property
    def num_requests(self) -> int:
        """Answered or failed."""
        return len(self.latencies) + self.num_failed

    @property
    def num_failed(self) -> int:
        """Requests that were not answered with status 200."""
        return sum(self.failures.values())

    @property
    def per_second(self) -> float:
        """Requests a second of wall time."""
        return self.num_requests / self.seconds

    def percentile_ms(self, percentile: float) -> float:
        """A percentile of the latencies, in milliseconds."""
        return 1000 * float(np.percentile(self.latencies, percentile))


@dataclass
class _Tally:
    latencies: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)


class Wire(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, port: int) -> "Wire":
        """Raises OSError when nobody listens."""
        return (await asyncio.get_running_loop().create_connection(cls, HOST, port))[1]

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Answer:
        """Send and wait. Raises OSError when the connection or the patience ends, ValueError for what is no answer."""
        if self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(_SECONDS):
            return await self._answer

    def close(self) -> None:
        """Give the connection up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the connection was closed before an answer"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END)
        if end < 0 or self._answer is None or self._answer.done():
            return
        length = _LENGTH.search(self._received, 0, end)
        if length is None:
            self._answer.set_exception(ValueError("an answer does not tell its length"))
            return
        whole = end + len(_END) + int(length[1])
        if len(self._received) < whole:
            return
        if _CLOSE.search(self._received, 0, end):
            self.close()
        self._answer.set_result(Answer(int(self._received[9:12]), bytes(self._received[end + 4 : whole])))
        del self._received[:whole]


def post(path: str, body: Any) -> bytes:
    """A request with a JSON body, as it goes over the wire."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def run(
    port: int,
    requests: Iterable[bytes],
    concurrency: int,
    look: Callable[[bytes], str] | None = None,
    per_connection: int | None = None,
) -> Load:
    """Send all requests, `concurrency` at a time; see `drive`."""
    return asyncio.run(drive(port, requests, concurrency, look, per_connection))


async def drive(
    port: int,
    requests: Iterable[bytes],
    concurrency: int,
    look: Callable[[bytes], str] | None = None,
    per_connection: int | None = None,
) -> Load:
    """Send all requests, `concurrency` at a time, each on a connection that stays open; nothing is sent twice.

    look: gives what to count an answer's body by; per_connection: after so many requests a new connection is made
    """
    tally, shared = _Tally(), iter(requests)
    began = time.perf_counter()
    await asyncio.gather(*(_send(port, shared, tally, look, per_connection or 1 << 62) for _ in range(concurrency)))
    seconds = time.perf_counter() - began
    return Load(seconds, tuple(tally.latencies), dict(tally.failures), dict(tally.seen))


async def _send(
    port: int, requests: Iterator[bytes], tally: _Tally, look: Callable[[bytes], str] | None, per_connection: int
) -> None:
    """Take requests from those that are left until there are none; making a connection counts for no latency."""
    wire, sent = Wire(), 0
    for request in requests:
        try:
            if not wire.is_open or sent % per_connection == 0:
                wire.close()
                wire = await Wire.connect(port)
            sent += 1
            began = time.perf_counter()
            answer = await wire.ask(request)
        except (OSError, ValueError) as error:
            tally.failures[type(error).__name__] += 1
            wire.close()
            continue
        if answer.status != 200:
            tally.failures[f"status {answer.status}"] += 1
            continue
        tally.latencies.append(time.perf_counter() - began)
        if look is not None:
            tally.seen[look(answer.body)] += 1
    wire.close()
