"""Limits over ASGI: a token bucket against its plain definition, bodies and keys against a live app in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.middleware import AuthMiddleware
from services.auth.keys import Keyring, KeyScope, add_key
from services.auth.limits import BodyLimit, Rate, RequestLimits
from tierrec_core.base.errors import SettingsError
from tierrec_core.settings import parse

MAX_BYTES = 100
Body = list[bytes] | bytes


async def measure(request: Request) -> JSONResponse:
    principal = getattr(request.state, "principal", None)
    who = None if principal is None else principal.key_id
    return JSONResponse({"bytes": len(await request.body()), "key": who})


APP = Starlette(routes=[Route("/livez", measure), Route("/{rest:path}", measure, methods=["GET", "POST", "DELETE"])])


async def begins_early(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers while the body still comes: the length of each piece."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    message = await receive()
    while message["type"] == "http.request":
        piece = str(len(message.get("body", b""))).encode() + b" "
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not message.get("more_body", False):
            break
        message = await receive()
    await send({"type": "http.response.body", "body": b"end"})


def needs(method: str, path: str) -> KeyScope:
    return {"GET": KeyScope.READ, "POST": KeyScope.WRITE}.get(method, KeyScope.ADMIN)


def ask(
    app: ASGIApp, method: str, path: str, body: Body = b"", token: str | None = None, client: str = "127.0.0.1"
) -> httpx.Response:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in body:
            yield bytes(piece)

    async def once() -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as session:
            content = body if isinstance(body, bytes) else pieces()
            return await session.request(method, path, content=content, headers=headers)

    return asyncio.run(once())


@pytest.mark.parametrize("size", [0, MAX_BYTES - 1, MAX_BYTES])
def test_a_body_that_fits_passes_whether_its_length_is_told_or_not(size: int) -> None:
    for body in (b"x" * size, [b"x"] * size):
        assert ask(BodyLimit(APP, MAX_BYTES), "POST", "/events", body).json()["bytes"] == size


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_a_body_without_length_is_refused_exactly_when_it_is_too_long(body: list[bytes]) -> None:
    answer = ask(BodyLimit(APP, MAX_BYTES), "POST", "/events", body)
    num_bytes = sum(map(len, body))
    if num_bytes <= MAX_BYTES:
        assert answer.json()["bytes"] == num_bytes
    else:
        assert answer.status_code == 413
        assert answer.json() == {
            "code": "body_too_large",
            "error": "body: is longer than 100 bytes; send less at a time",
            "detail": [],
        }


def test_a_told_length_is_refused_before_the_body_is_read() -> None:
    answer = ask(BodyLimit(APP, MAX_BYTES), "POST", "/events", b"x" * (MAX_BYTES + 1))
    assert (answer.status_code, answer.json()["detail"]) == (413, [])


def test_an_answer_that_has_begun_is_cut_and_not_answered_twice() -> None:
    body = [b"x" * 60, b"y" * 60]
    assert ask(BodyLimit(begins_early, 200), "POST", "/", body).text == "60 60 0 end"
    assert ask(BodyLimit(begins_early, MAX_BYTES), "POST", "/", body).text == "60 end"


def test_errors_of_the_app_itself_are_not_hidden() -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(BodyLimit(broken, MAX_BYTES), "POST", "/events", [b"x"])


def test_a_key_must_be_there_known_and_wide_enough(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, reader = add_key(path, "reader", (KeyScope.READ,))
    _, writer = add_key(path, "writer", (KeyScope.WRITE, KeyScope.READ))
    ring = Keyring.read(path)
    app = AuthMiddleware(APP, lambda scope: ring, needs, public=("/livez",))
    assert ask(app, "GET", "/livez").json()["key"] is None
    assert ask(app, "GET", "/livez", client="10.0.0.7").status_code == 401
    assert ask(app, "GET", "/livez", token=reader, client="10.0.0.7").json()["key"] == key.id
    assert ask(app, "GET", "/items", token=reader).json()["key"] == key.id
    assert ask(app, "POST", "/events", b"abc", token=writer).json()["bytes"] == 3
    for token in (None, "", "trk_00000000_x", reader[:-1]):
        answer = ask(app, "GET", "/items", token=token)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert set(answer.json()) == {"code", "error", "detail"}
    for token, method in ((reader, "POST"), (reader, "DELETE"), (writer, "DELETE")):
        answer = ask(app, method, "/users/1", token=token)
        assert (answer.status_code, answer.json()["detail"]) == (403, [])
        assert "lacks the scope" in answer.json()["error"]


@pytest.mark.parametrize(("client", "status"), [("127.0.0.1", 200), ("::1", 200), ("10.0.0.7", 401)])
def test_without_keys_only_this_machine_is_answered(client: str, status: int) -> None:
    app = AuthMiddleware(APP, lambda scope: Keyring({}), needs, public=("/livez",))
    assert ask(app, "POST", "/events", b"abc", client=client).status_code == status
    assert ask(app, "DELETE", "/users/1", client=client).status_code == (403 if status == 200 else 401)
    assert ask(app, "GET", "/livez", client=client).status_code == status
    locked = AuthMiddleware(APP, lambda scope: Keyring({}, is_locked=True), needs)
    assert ask(locked, "DELETE", "/users/1", client=client).status_code == 401


def test_who_asks_too_often_is_told_how_long_to_wait(tmp_path: Path) -> None:
    path, now = tmp_path / "keys.json", [0.0]
    (_, one), (_, other) = add_key(path, "one", (KeyScope.READ,)), add_key(path, "other", (KeyScope.READ,))
    ring = Keyring.read(path)
    app = AuthMiddleware(APP, lambda scope: ring, needs, Rate(0.5, 2, clock=lambda: now[0]), ("/livez",))
    assert [ask(app, "GET", "/items", token=one).status_code for _ in range(3)] == [200, 200, 429]
    answer = ask(app, "GET", "/items", token=one)
    assert answer.headers["retry-after"] == "2"
    assert "wait 2.000 s" in answer.json()["error"]
    assert ask(app, "GET", "/items", token=other).status_code == 200
    assert ask(app, "GET", "/livez", token=one).status_code == 200
    now[0] += 2
    assert [ask(app, "GET", "/items", token=one).status_code for _ in range(2)] == [200, 429]


def plain_bucket(per_second: float, burst: int) -> Callable[[float], bool]:
    """A token bucket by its definition: tokens flow in up to the burst, a request takes one."""
    tokens, before = float(burst), 0.0

    def take(now: float) -> bool:
        nonlocal tokens, before
        tokens, before = min(burst, tokens + (now - before) * per_second), now
        if tokens < 1 - 1e-6:
            return False
        tokens -= 1
        return True

    return take


@given(
    st.sampled_from([0.5, 1.0, 8.0]),
    st.integers(1, 5),
    st.lists(st.integers(0, 40).map(lambda step: step / 16), max_size=40),
)
def test_rate_is_a_token_bucket(per_second: float, burst: int, steps: list[float]) -> None:
    now = [0.0]
    rate, oracle = Rate(per_second, burst, clock=lambda: now[0]), plain_bucket(per_second, burst)
    for step in steps:
        now[0] += step
        wait = rate.take("a")
        assert (wait == 0) == oracle(now[0])
        if wait:
            now[0] += wait
            assert rate.take("a") == 0
            assert oracle(now[0])


def test_the_number_of_callers_that_are_remembered_is_bounded() -> None:
    rate = Rate(1.0, 1, clock=lambda: 0.0, max_callers=3)
    assert [rate.take(caller) for caller in "abca"] == [0, 0, 0, 1]
    assert rate.take("d") == 0
    assert rate.take("b") == 1
    assert rate.take("a") == 0, "the one seen longest ago is forgotten"


def test_limits_are_closed_and_positive() -> None:
    assert RequestLimits().rate() is None
    assert RequestLimits(requests_per_second=5, burst=2).rate() is not None
    with pytest.raises(SettingsError, match="max_bodies: unknown key; did you mean 'max_body_bytes'"):
        parse(RequestLimits, {"max_bodies": 1}, "limits")
    with pytest.raises(SettingsError, match="burst"):
        parse(RequestLimits, {"burst": 0}, "limits")
