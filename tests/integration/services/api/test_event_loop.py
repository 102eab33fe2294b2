"""No request keeps the event loop from others, and lists go on, whatever files, the store and other requests do."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.open_shops import LOOK_SECONDS, Caller, Opener, event, until
from tests.support.postgres import new_schema, running
from tests.support.stalls import Stalls, measured

pytest_plugins = ["tests.support.open_shops"]

COMPUTED_SECONDS = 0.05
WAITED_SECONDS = 1.0  # of I/O; a busy machine lets a loop wait for some tenths
PATIENCE_SECONDS, LATE_SECONDS = 1.0, 4.0
BOMB = "a: &a [x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
LIST = ("POST", "/recommend", {"json": {"user_id": "u59"}})
Requests = Sequence[tuple[str, str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def patience(start: Opener) -> None:
    """As in a service that runs."""
    start.patience = PATIENCE_SECONDS


def lists_meanwhile(caller: Caller, requests: Requests = (), seconds: float = 3.0) -> tuple[Stalls, list[int]]:
    """Ask for lists one after the other while other requests are answered; the stalls, and the others' statuses.

    Every list is answered in time.
    """

    async def drive() -> tuple[Stalls, list[int]]:
        transport = httpx.ASGITransport(caller.app, client=caller.address)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:

            async def send(method: str, path: str, given: dict[str, Any]) -> int:
                return (await client.request(method, path, **given)).status_code

            await send(*LIST)
            while not caller.shops.is_ready():
                await asyncio.sleep(0.01)
            async with measured() as stalls:
                others = []
                for request in requests:
                    others.append(asyncio.create_task(send(*request)))
                    await asyncio.sleep(0.01)
                end = time.monotonic() + seconds
                while time.monotonic() < end or not all(task.done() for task in others):
                    start = time.monotonic()
                    assert await send(*LIST) == 200
                    assert time.monotonic() - start < LATE_SECONDS
                    await asyncio.sleep(0.02)
                return stalls, [await task for task in others]

    return asyncio.run(drive())


def check(stalls: Stalls) -> None:
    assert stalls.computed < COMPUTED_SECONDS
    assert stalls.waited < WAITED_SECONDS


@contextlib.contextmanager
def frozen(server: str) -> Iterator[None]:
    """Every process of a PostgreSQL server is stopped."""
    folder = server.partition("host=")[2]
    heads = [process for process in psutil.process_iter() if folder in " ".join(_command(process))]
    family = {*heads, *(child for head in heads for child in head.children(recursive=True))}
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in family:
            process.resume()


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def test_lists_go_on_while_postgresql_is_frozen(start: Opener) -> None:
    with running() as server:
        caller = start(store_url=new_schema(server))
        caller.post_events(event(1, "u59", "i31", "cart"))
        before = caller.listed(user_id="u59")
        with frozen(server):
            posts = [("POST", "/events", {"json": {"events": [event(number, "u59", "i01")]}}) for number in range(9)]
            stalls, statuses = lists_meanwhile(caller, [*posts, ("GET", "/healthz/store", {})], seconds=8)
            check(stalls)
            assert set(statuses) == {503}
            assert caller.listed(user_id="u59") == before
        until(lambda: caller.send("GET", "/healthz/store").status_code == 200)
        start.close()


def test_a_service_starts_while_postgresql_is_frozen(start: Opener) -> None:
    with running() as server:
        url = new_schema(server)
        with frozen(server):
            caller = start(store_url=url)
            assert caller.listed(user_id="u59", k=5)
            until(caller.shops.is_ready)
            assert caller.send("GET", "/healthz/store").status_code == 503
            answer = caller.send("POST", "/events", json={"events": [event(1, "u59", "i31", "cart")]})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        until(lambda: caller.send("POST", "/events", json={"events": [event(2, "u59", "i31")]}).status_code == 200)
        caller.post_items({"item_id": "i31", "stock": 0})
        assert "i31" not in caller.listed(user_id="u59", k=40)
        start.close()


def test_lists_go_on_while_sqlite_is_locked(start: Opener) -> None:
    caller = start()
    posts = [("POST", "/events", {"json": {"events": [event(number, "u59", "i31")]}}) for number in range(9)]
    database = caller.shop.folder / "feedback.db"
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("begin immediate")
        stalls, statuses = lists_meanwhile(caller, posts)
        check(stalls)
        assert set(statuses) == {503}
        answer = caller.send("POST", "/events", json={"events": [event(1, "u59", "i31")]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def thousand_rules() -> str:
    conditions = (f"item_id = 'i{number:02d}' and price > 20" for number in range(1000))
    return "rules:\n" + "".join(f'  - {{exclude: "{condition}"}}\n' for condition in conditions)


@pytest.mark.parametrize("text", [BOMB, "rules:\n- name: *i\n", "[" * 3000, thousand_rules()])
def test_lists_go_on_while_a_file_is_read(start: Opener, text: str) -> None:
    caller = start()
    time.sleep(LOOK_SECONDS)
    (caller.shop.folder / "rules.yaml").write_text(BOMB + text if "*i" in text else text)
    check(lists_meanwhile(caller)[0])
    if text == thousand_rules():
        until(lambda: caller.metric("tierrec_swaps_total", result="rules_loaded") == 1)
        check(lists_meanwhile(caller)[0])
        shown = caller.listed(user_id="u59", k=40)
        assert "i31" not in shown
        assert "i05" in shown


def test_lists_go_on_while_a_file_cannot_be_read(start: Opener) -> None:
    caller = start()
    rules: Path = caller.shop.folder / "rules.yaml"
    time.sleep(LOOK_SECONDS)
    os.mkfifo(rules)  # reading it blocks until a writer opens it
    try:
        check(lists_meanwhile(caller)[0])
    finally:
        rules.write_text("rules: []\n")


def like(number: int) -> str:
    return " or ".join(f"title like '%{number}{term}%x%'" for term in range(80))


def many_items() -> Requests:
    items = [{"item_id": f"new{number}", "title": f"thing {number} of many", "price": number} for number in range(1000)]
    return [("POST", "/items", {"json": {"items": items}})]


BUSY: dict[str, Callable[[], Requests]] = {
    "1,000 items": many_items,
    "filters of 80 terms": lambda: [("POST", "/recommend", {"json": {"filter": like(number)}}) for number in range(10)],
    "searches": lambda: [("POST", "/search", {"json": {"query": "thing"}})] * 30,
    "visitors": lambda: [("POST", "/recommend", {"json": {"history": ["i31", "i01"]}})] * 30,
}


@pytest.mark.parametrize("busy", BUSY)
def test_lists_go_on_while_other_requests_take_long(start: Opener, busy: str) -> None:
    caller = start()
    stalls, statuses = lists_meanwhile(caller, BUSY[busy]())
    check(stalls)
    assert set(statuses) == {200}


def test_events_are_stored_while_items_wait(start: Opener) -> None:
    caller = start()

    async def drive() -> tuple[int, set[int]]:
        transport = httpx.ASGITransport(caller.app, client=caller.address)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
            items = [{"items": [{"item_id": f"n{number}", "title": "new"}]} for number in range(8)]
            posts = [asyncio.create_task(client.post("/items", json=body)) for body in items]
            await asyncio.sleep(0.2)
            stored = client.post("/events", json={"events": [event(1, "u59", "i31")]})
            status = (await asyncio.wait_for(stored, LATE_SECONDS)).status_code
            caller.shop.items_lock.release()
            return status, {answer.status_code for answer in await asyncio.gather(*posts)}

    caller.shop.items_lock.acquire()
    assert asyncio.run(drive()) == (200, {200})
