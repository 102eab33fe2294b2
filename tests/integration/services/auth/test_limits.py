"""Keys and limits in front of a live server: chunked bodies, and a key that is revoked while it runs."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.api.middleware import AuthMiddleware
from services.auth.keys import KeyScope, LiveKeyring, add_key, revoke_key
from services.auth.limits import BodyLimit

MAX_BYTES = 1000


async def measure(request: Request) -> JSONResponse:
    return JSONResponse({"bytes": len(await request.body())})


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def client(keys: Path) -> Iterator[httpx.Client]:
    """A session with the app, guarded, on loopback."""
    app = BodyLimit(Starlette(routes=[Route("/events", measure, methods=["POST"])]), MAX_BYTES)
    ring = LiveKeyring(keys)
    guarded = AuthMiddleware(app, lambda scope: ring(), lambda method, path: KeyScope.WRITE)
    server = uvicorn.Server(uvicorn.Config(guarded, log_level="warning", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as session:
            yield session
        server.should_exit = True
        thread.join()


def pieces(num_bytes: int) -> Iterator[bytes]:
    for start in range(0, num_bytes, 100):
        yield b"x" * min(100, num_bytes - start)


def test_a_body_is_measured_whether_its_length_is_told_or_not(client: httpx.Client) -> None:
    for size, status in ((MAX_BYTES, 200), (MAX_BYTES + 1, 413), (100 * MAX_BYTES, 413), (MAX_BYTES, 200)):
        told = client.post("/events", content=b"x" * size)
        counted = client.post("/events", content=pieces(size))
        assert (told.status_code, counted.status_code) == (status, status)
        assert told.json() == counted.json()


def test_a_key_opens_and_closes_a_running_server(client: httpx.Client, keys: Path) -> None:
    assert client.post("/events").status_code == 200
    key, token = add_key(keys, "shop", (KeyScope.WRITE,))
    headers = {"Authorization": f"Bearer {token}"}
    time.sleep(0.06)
    assert client.post("/events").status_code == 401
    assert client.post("/events", headers=headers).status_code == 200
    revoke_key(keys, key.id)
    time.sleep(0.06)
    answer = client.post("/events", headers=headers)
    assert answer.status_code == 401
    assert json.loads(answer.content).keys() == {"code", "error", "detail"}
    keys.unlink()
    time.sleep(0.06)
    assert client.post("/events").status_code == 401, "no key left does not open what was closed"
