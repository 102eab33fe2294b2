"""A uvicorn process with the service's HTTP limits, asked over raw sockets. Its time for headers is shorter."""

import contextlib
import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from services.deployment.http_limits import MAX_HEADER_BYTES, MAX_HEADERS, MAX_PIPELINED, MAX_URL_BYTES
from services.deployment.server import free_port
from tests.support.projects import ENV, ROOT

pytestmark = pytest.mark.medium

SERVER = """
import asyncio, sys, uvicorn
from services.deployment.http_limits import BoundedHttpProtocol

class Impatient(BoundedHttpProtocol):
    header_seconds = write_seconds = 1.0

num_open = 0

async def app(scope, receive, send):
    global num_open
    if scope["type"] == "http":
        num_open += 1
        try:
            await respond(scope, receive, send)
        finally:
            num_open -= 1

async def respond(scope, receive, send):
    blocks = {"/whole": [b"b" * 2**25], "/blocks": [b"b" * 2**16] * 2**9}.get(scope["path"], [])
    length = b"%d" % (sum(map(len, blocks)) or 2)
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    if scope["path"] == "/early":
        await send(start)
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
    await asyncio.sleep(float(scope["query_string"] or 0))
    if scope["path"] != "/early":
        await send(start)
    for block in blocks:
        await send({"type": "http.response.body", "body": block, "more_body": True})
    numbers = {"/open": num_open, "/headers": len(scope["headers"])}
    last = b"" if blocks else b"%02d" % numbers[scope["path"]] if scope["path"] in numbers else b"ok"
    await send({"type": "http.response.body", "body": last})

uvicorn.run(app, port=int(sys.argv[1]), http=Impatient, timeout_keep_alive=3, lifespan="off")
"""
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n"
OK = b"HTTP/1.1 200 OK"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", SERVER, str(port)], cwd=ROOT, env=ENV) as process:
        try:
            while not is_open(port):
                assert process.poll() is None
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        yield connection


def rest(connection: socket.socket) -> bytes:
    """All bytes until the server closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def answer(connection: socket.socket) -> bytes:
    """The bytes of one answer of the application."""
    received = b""
    while not received.endswith(b"\r\n\r\nok"):
        part = connection.recv(1 << 16)
        assert part, received
        received += part
    return received


def ask(port: int, request: bytes) -> bytes:
    with connected(port) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        return rest(connection)


def headers(count: int, size: int = 1) -> bytes:
    return b"".join(b"x-%d: %s\r\n" % (number, b"v" * size) for number in range(count))


CLOSE = b"connection: close\r\n\r\n"
REQUESTS = {
    "as many headers as allowed": (GET + headers(MAX_HEADERS - 2) + CLOSE, 200),
    "one more": (GET + headers(MAX_HEADERS - 1) + CLOSE, 431),
    "as much as allowed": (GET + headers(8, MAX_HEADER_BYTES // 8 - 20) + CLOSE, 200),
    "more": (GET + headers(8, MAX_HEADER_BYTES // 8) + CLOSE, 431),
    "the longest url": (b"GET /%s HTTP/1.1\r\n" % (b"u" * (MAX_URL_BYTES - 1)) + CLOSE, 200),
    "a longer url": (b"GET /%s HTTP/1.1\r\n" % (b"u" * MAX_URL_BYTES) + CLOSE, 414),
    "a header without end": (GET + b"x: " + b"v" * (1 << 22), 431),
    "a url without end": (b"GET /" + b"u" * (1 << 22), 414),
    "no HTTP": (b"\x16\x03\x01 hello\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_too_much_is_refused_and_the_connection_closed(port: int, name: str) -> None:
    request, status = REQUESTS[name]
    head, _, body = ask(port, request).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status, head
    if status != 200:
        assert set(json.loads(body)) == {"code", "error", "detail"}


def test_each_request_of_a_connection_has_the_limits(port: int) -> None:
    request = GET + headers(MAX_HEADERS - 1) + b"\r\n"
    assert ask(port, request * 3 + GET + headers(MAX_HEADERS) + b"\r\n").count(OK) == 3
    with connected(port) as connection:
        for _ in range(3):
            connection.sendall(request)
            assert answer(connection).startswith(OK)
        connection.sendall(GET + headers(MAX_HEADERS + 1))
        assert rest(connection).startswith(b"HTTP/1.1 431 ")


def test_headers_that_come_byte_by_byte_end_in_time_and_hold_nobody_up(port: int) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(port)) for _ in range(100)]
        ended = 0
        for byte in itertools.chain(GET, itertools.cycle(b"x: v\r\n")):
            for connection in slow[ended:]:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(bytes([byte]))
            assert ask(port, GET + CLOSE).startswith(OK), "others are answered meanwhile"
            time.sleep(0.05)
            slow[0].setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if slow[0].recv(1, socket.MSG_PEEK):
                    break
        for connection in slow:
            connection.setblocking(True)
            assert rest(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"\r\n", GET + b"\r\n", GET + b"\r\n\r\n"])
def test_a_connection_on_which_no_request_begins_is_closed(port: int, sent: bytes) -> None:
    with connected(port) as connection:
        connection.sendall(sent)
        if GET in sent:
            assert answer(connection).startswith(OK)
            connection.sendall(b"\r\n")
        assert rest(connection) == b""


def test_a_slow_answer_is_not_cut_off_and_bodies_may_take_longer(port: int) -> None:
    assert ask(port, GET.replace(b"/ ", b"/?1.2 ") + CLOSE).startswith(OK)
    with connected(port) as connection:
        connection.sendall(GET.replace(b"/ ", b"/?1.2 ") + b"\r\n" + GET)
        assert rest(connection).startswith(OK), "the next request begins while the first is answered"
    with connected(port) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n" + CLOSE)
        for _ in range(5):
            time.sleep(0.3)
            connection.sendall(b"b")
        assert rest(connection).startswith(OK)


CHUNKED = b"POST %s HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"


def until_none_is_open(port: int) -> None:
    while not ask(port, GET.replace(b"/ ", b"/open ") + CLOSE).endswith(b"01"):  # that request itself
        time.sleep(0.05)


@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_a_bad_body_is_refused_and_ends_its_request(port: int, pause: float) -> None:
    with connected(port) as connection:
        connection.sendall(CHUNKED % b"/" + b"2\r\nhi\r\n")
        time.sleep(pause)
        connection.sendall(b"ZZ\r\n")
        assert rest(connection).startswith(b"HTTP/1.1 400 ")
    until_none_is_open(port)


def test_a_bad_body_after_the_start_of_the_answer_closes_the_connection(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(CHUNKED % b"/early")
        assert connection.recv(1 << 16).startswith(OK)
        connection.sendall(b"ZZ\r\n")
        assert rest(connection) == b""
    until_none_is_open(port)


def test_a_bad_body_after_other_requests_lets_those_be_answered(port: int) -> None:
    slow = GET.replace(b"/ ", b"/?0.3 ") + b"\r\n"
    for number in (1, 2):
        answers = ask(port, slow * number + CHUNKED % b"/" + b"ZZ\r\n" + GET + b"\r\n")
        assert (answers.count(OK), answers.count(b"HTTP/1.1")) == (number, number)
    until_none_is_open(port)


def test_trailers_are_no_headers_of_the_request(port: int) -> None:
    trailers = b"0\r\nx-trailer: v\r\n\r\n"
    answers = ask(port, CHUNKED % b"/headers" + b"2\r\nhi\r\n" + trailers + GET + CLOSE)
    assert [part[-2:] for part in answers.split(OK)[1:]] == [b"02", b"ok"]


TRAILERS = {
    "a trailer without end": b"0\r\nx: " + b"v" * (1 << 22),
    "too many trailers": b"0\r\n" + headers(64, MAX_HEADER_BYTES // 64) + b"\r\n",
    "a chunk size without end": b"2;" + b"v" * (1 << 22),
}


@pytest.mark.parametrize("name", TRAILERS)
def test_what_comes_beside_a_body_is_limited(port: int, name: str) -> None:
    assert ask(port, CHUNKED % b"/" + b"2\r\nhi\r\n" + TRAILERS[name]).startswith(b"HTTP/1.1 431 ")


def test_a_large_body_in_small_chunks_is_accepted(port: int) -> None:
    assert ask(port, CHUNKED % b"/" + b"1;x=y\r\nb\r\n" * 40_000 + b"0\r\n\r\n" + GET + CLOSE).count(OK) == 2


def test_requests_beyond_the_depth_of_a_pipeline_are_not_answered(port: int) -> None:
    request = GET + b"\r\n"
    assert ask(port, request * MAX_PIPELINED).count(OK) == MAX_PIPELINED
    assert ask(port, request * 50_000).count(OK) == MAX_PIPELINED + 1, "the first is not waiting"


@contextlib.contextmanager
def slowly_reading(port: int, path: bytes) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET %s HTTP/1.1\r\nhost: localhost\r\n" % path + CLOSE)
        yield connection


@pytest.mark.parametrize("path", [b"/whole", b"/blocks"])
def test_an_answer_that_nobody_reads_ends(port: int, path: bytes) -> None:
    with slowly_reading(port, path) as connection:
        time.sleep(3)
        assert len(rest(connection)) < 1 << 25
    until_none_is_open(port)


@pytest.mark.parametrize("path", [b"/whole", b"/blocks"])
def test_an_answer_that_is_read_slowly_is_complete(port: int, path: bytes) -> None:
    with slowly_reading(port, path) as connection:
        received = 0
        for _ in range(15):
            time.sleep(0.2)
            received += len(connection.recv(1 << 19, socket.MSG_WAITALL))
        assert received + len(rest(connection)) > 1 << 25
