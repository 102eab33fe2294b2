"""No request blocks the event loop, whatever its own files and store are waiting for."""

import asyncio
import os
import threading
from typing import Any

import httpx
import pytest

from tests.support.open_shops import LOOK_SECONDS, Caller, Opener

pytest_plugins = ["tests.support.open_shops"]

BLOCKED_SECONDS = 1.0
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "/recommend": ("POST", {"json": {"user_id": "u59"}}),
    "/search": ("POST", {"json": {"query": "thing"}}),
    "/similar": ("POST", {"json": {"item_id": "i00"}}),
    "/experiments": ("GET", {}),
    "/users/u59/tier": ("GET", {}),
}


async def order_of_answers(caller: Caller, path: str) -> list[str]:
    """Paths by the time of their answers, when /info is requested right after the given path."""
    answered = []
    transport = httpx.ASGITransport(caller.app, client=caller.address)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:

        async def send(method: str, path: str, **given: Any) -> None:
            assert (await client.request(method, path, **given)).status_code == 200
            answered.append(path)

        method, given = REQUESTS[path]
        await asyncio.gather(send(method, path, **given), send("GET", "/info"))
    return answered


@pytest.mark.parametrize("path", REQUESTS)
def test_others_are_answered_while_a_request_waits_for_a_file(start: Opener, path: str) -> None:
    caller = start()
    rules = caller.shop.folder / "rules.yaml"
    threading.Event().wait(LOOK_SECONDS)
    os.mkfifo(rules)  # reading it blocks until a writer opens it
    writer = threading.Timer(BLOCKED_SECONDS, rules.write_text, ["rules: []\n"])
    writer.start()
    try:
        assert asyncio.run(order_of_answers(caller, path)) == ["/info", path]
    finally:
        writer.join()
