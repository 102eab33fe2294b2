"""A server on loopback that does what a script says, and both clients asked in one way, for tests of the client."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tierrec_client import AsyncClient, Client


@dataclass
class Scripted:
    """A server on loopback. Its script says what becomes of each request in turn; the last line stays.

    A line is a status with a body, or a number of bytes after which the connection is cut.
    """

    script: list[tuple[int, bytes] | int]
    rows: bytes = b""
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def next(self) -> tuple[int, bytes] | int:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class Handler(BaseHTTPRequestHandler):
    wbufsize = -1  # one packet an answer
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        served: Scripted = self.server.scripted
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        served.seen.append((self.command, self.path, dict(self.headers), body))
        step = served.next()
        status, answer = (200, self.rest(served) or b"-" * 99) if isinstance(step, int) else step
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[:step] if isinstance(step, int) else answer)
        if isinstance(step, int):
            self.close_connection = True

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the names that the base class calls

    def rest(self, served: Scripted) -> bytes:
        """The rows behind the cursor that is asked for, as many as are asked for."""
        asked = dict(parse_qsl(urlsplit(self.path).query))
        lines = served.rows.split(b"\n")[:-1]
        behind = [line for line in lines if json.loads(line)["_cursor"] > int(asked.get("cursor", 0))]
        return b"".join(line + b"\n" for line in behind[: int(asked.get("limit", len(behind)))])

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Scripted, str]]]:
    servers = []

    def start(*script: tuple[int, bytes] | int, rows: bytes = b"") -> tuple[Scripted, str]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.scripted = Scripted(list(script), rows)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server.scripted, f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Way:
    """One of the two clients, asked as if it were the one that blocks."""

    is_async: bool

    def ask(self, url: str, method: str, *arguments: Any, given: dict[str, Any] | None = None, **named: Any) -> Any:
        if self.is_async:
            return asyncio.run(self._await(url, method, arguments, given or {}, named))
        with Client(url, **given or {}) as client:
            answer = getattr(client, method)(*arguments, **named)
            return list(answer) if method == "export" else answer

    async def _await(self, url: str, method: str, arguments: Any, given: Any, named: Any) -> Any:
        async with AsyncClient(url, **given) as client:
            answer = getattr(client, method)(*arguments, **named)
            return [row async for row in answer] if method == "export" else await answer


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param)
