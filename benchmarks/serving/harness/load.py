"""A load generator: HTTP/1.1 over raw sockets with persistent connections; times every request, counts every failure.

It runs in one thread of a process that is no descendant of a server, so that its cost is attributed to none.
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
_TIMEOUT_SECONDS = 60.0
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CLOSE = re.compile(rb"(?i)\r\nconnection: *close")


class Response(NamedTuple):
    """Status and body of a response."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Load:
    """Result of a run.

    seconds: from the first request to the last response; latencies: of responses with status 200, in seconds
    failures: requests without such a response, by reason; seen: responses by the label that the caller gave them
    """

    seconds: float
    latencies: tuple[float, ...]
    failures: Mapping[str, int]
    seen: Mapping[str, int]

    @property
    def num_requests(self) -> int:
        """Number of requests sent."""
        return len(self.latencies) + self.num_failed

    @property
    def num_failed(self) -> int:
        """Requests without a response of status 200."""
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


class HttpConnection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._response: asyncio.Future[Response] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, port: int) -> "HttpConnection":
        """Open a connection. Raises OSError when it is refused."""
        return (await asyncio.get_running_loop().create_connection(cls, HOST, port))[1]

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def request(self, request: bytes) -> Response:
        """Send a request and wait for its response.

        Raises OSError when the connection is closed or the time is over, ValueError for an invalid response.
        """
        if self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            return await self._response

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        if self._response is not None and not self._response.done():
            self._response.set_exception(ConnectionResetError("the connection was closed before a response"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END)
        if end < 0 or self._response is None or self._response.done():
            return
        length = _LENGTH.search(self._received, 0, end)
        if length is None:
            self._response.set_exception(ValueError("a response has no Content-Length, wanted one"))
            return
        whole = end + len(_END) + int(length[1])
        if len(self._received) < whole:
            return
        if _CLOSE.search(self._received, 0, end):
            self.close()
        self._response.set_result(Response(int(self._received[9:12]), bytes(self._received[end + 4 : whole])))
        del self._received[:whole]


def post(path: str, body: Any) -> bytes:
    """A request with a JSON body, as bytes."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def run(
    port: int,
    requests: Iterable[bytes],
    concurrency: int,
    label: Callable[[bytes], str] | None = None,
    per_connection: int | None = None,
) -> Load:
    """Send all requests, `concurrency` at a time; see `drive`."""
    return asyncio.run(drive(port, requests, concurrency, label, per_connection))


async def drive(
    port: int,
    requests: Iterable[bytes],
    concurrency: int,
    label: Callable[[bytes], str] | None = None,
    per_connection: int | None = None,
) -> Load:
    """Send all requests, `concurrency` at a time on persistent connections; no request is repeated.

    label: names a response's body, for counts by label; per_connection: requests before a new connection is made
    """
    tally, shared = _Tally(), iter(requests)
    started = time.perf_counter()
    await asyncio.gather(*(_send(port, shared, tally, label, per_connection or 1 << 62) for _ in range(concurrency)))
    seconds = time.perf_counter() - started
    return Load(seconds, tuple(tally.latencies), dict(tally.failures), dict(tally.seen))


async def _send(
    port: int, requests: Iterator[bytes], tally: _Tally, label: Callable[[bytes], str] | None, per_connection: int
) -> None:
    """Send the remaining requests one after the other; the time to connect is not part of a latency."""
    connection, sent = HttpConnection(), 0
    for request in requests:
        try:
            if not connection.is_open or sent % per_connection == 0:
                connection.close()
                connection = await HttpConnection.connect(port)
            sent += 1
            started = time.perf_counter()
            response = await connection.request(request)
        except (OSError, ValueError) as error:
            tally.failures[type(error).__name__] += 1
            connection.close()
            continue
        if response.status != 200:
            tally.failures[f"status {response.status}"] += 1
            continue
        tally.latencies.append(time.perf_counter() - started)
        if label is not None:
            tally.seen[label(response.body)] += 1
    connection.close()
