"""Both clients and plain HTTP against the running application, with shops of the tiny world."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pandas as pd
import pytest
import uvicorn
from fastapi import FastAPI

from services.api.app import configure_app
from services.auth import keys
from services.auth.keys import KeyScope
from services.auth.limits import RequestLimits
from services.releases.manifest import ReleaseManifest
from services.store import Store
from services.tenants.served_model import ServedModel
from services.tenants.shop import ShopSettings
from services.tenants.shops import DEFAULT, Shops, ShopsSettings
from tests.support import transfer_records
from tests.support.api_keys import HEADER, TOKEN, allow_all
from tests.support.packaged_project import packed_bundle
from tests.support.transfer_records import kept
from tierrec_client import (
    AsyncClient,
    Client,
    EventIn,
    EventRow,
    Imported,
    ImpressionRow,
    ItemIn,
    ItemRow,
    RecommendRequest,
    ServiceError,
    UserIn,
    UserRow,
)
from tierrec_client.calls import NDJSON

SHOPS = (DEFAULT, "copy", "locked", "broken", "busy")


def event(number: int, **changes: Any) -> EventIn:
    return EventIn.model_validate(transfer_records.event(number, **changes).model_dump(exclude_unset=True))


@pytest.fixture(scope="module")
def shops(items: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shops]:
    folder = tmp_path_factory.mktemp("shops")
    bundle = packed_bundle(folder / "project", items)
    release = ReleaseManifest(bento="tests:1", model="tests-bundle:1", default_task="next", labels={"made": "here"})
    settings = ShopsSettings(shops={name: ShopSettings(folder=folder / name) for name in SHOPS})
    for name in SHOPS:
        if name != "locked":
            allow_all(folder / name)
    with contextlib.closing(Shops.open(settings, lambda _: ServedModel(release, bundle), release.bento)) as opened:
        yield opened


@pytest.fixture(scope="module")
def url(shops: Shops) -> Iterator[str]:
    application = FastAPI(openapi_url=None)
    configure_app(application, shops, RequestLimits())
    with socket.create_server(("127.0.0.1", 0)) as listening:  # requests wait until the server takes them
        server = uvicorn.Server(uvicorn.Config(application, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, TOKEN) as opened:
        yield opened


def test_every_method_is_answered(client: Client) -> None:
    assert client.info().labels == {"made": "here"}
    assert client.users(users=[UserIn(user_id="new/..", attributes={"plan": "gold"})]).accepted == 1
    assert client.items(items=[ItemIn(item_id="fresh", title="purple socks", category="group 1")]).accepted == 1
    viewed = EventIn(key="e-1", user_id="new/..", item_id="i11", event="cart")
    assert client.events(events=[viewed]).accepted == 1
    assert client.events(events=[viewed]).duplicates == 1
    answer = client.recommend(user_id="u05", k=3, explain=True)
    assert len(answer.items) == 3
    assert answer == client.recommend(RecommendRequest(user_id="u05", k=3, explain=True)).model_copy(
        update={"request_id": answer.request_id, "cursor": answer.cursor}
    )
    assert "fresh" in [item.item_id for item in client.search(query="purple socks").items]
    assert len(client.similar(item_id="i11", k=4).items) == 4
    assert client.tier("new/..").known_user
    explained = patiently(lambda: client.explain(answer.request_id))
    assert [item.item_id for item in explained.items] == [item.item_id for item in answer.items]
    assert client.experiments() == {}
    assert client.delete_attributes("new/..").deleted == 1
    assert client.tier("new/..").known_user
    assert client.delete_item("fresh").deleted == 1
    assert "fresh" not in [item.item_id for item in client.search(query="purple socks").items]
    assert client.erase("new/..").events == 1
    assert not client.tier("new/..").known_user


def patiently(ask: Any) -> Any:
    """Answers are kept a moment after they were given."""
    for _ in range(200):
        with contextlib.suppress(ServiceError):
            return ask()
        time.sleep(0.05)
    return ask()


def test_the_async_client_hears_the_same(url: str, client: Client) -> None:
    async def ask() -> list[Any]:
        async with AsyncClient(url, TOKEN) as later:
            asked = (later.info(), later.tier("u05"), later.recommend(user_id="u05", k=4), later.experiments())
            return list(await asyncio.gather(*asked))

    info, tier, answer, experiments = asyncio.run(ask())
    assert (info, tier, experiments) == (client.info(), client.tier("u05"), client.experiments())
    assert answer.items == client.recommend(user_id="u05", k=4).items


def test_refusals_are_told(client: Client, url: str) -> None:
    with pytest.raises(ServiceError, match=r"^404: .*no answer"):
        client.explain("nobody-asked")
    with pytest.raises(ServiceError, match=r"^400: item_id"):
        client.similar(item_id="no such item")
    with Client(url, TOKEN, "nowhere") as lost, pytest.raises(ServiceError, match=r"^401: "):
        lost.info()


def test_events_of_a_key_that_another_has_are_told(client: Client) -> None:
    first, other = (EventIn(key="taken", user_id="u05", item_id=item, event="view") for item in ("i11", "i12"))
    client.events(events=[first])
    with pytest.raises(ServiceError, match=r"^409: key: ") as raised:
        client.events(events=[other])
    assert raised.value.problem.detail[0]["index"] == 0
    answer = client.events(events=[first, other])
    assert (answer.duplicates, [(error.index, error.key) for error in answer.errors]) == (1, [(1, "taken")])


def test_a_batch_has_a_result_for_each_request(client: Client) -> None:
    asked = [RecommendRequest(user_id="u05", k=3), RecommendRequest(filter="no condition"), RecommendRequest()]
    first, second, third = client.recommend_batch(requests=asked).results
    assert (first.status, second.status, third.status) == (200, 400, 200)
    alone = client.recommend(asked[0])
    assert [item.item_id for item in first.answer.items] == [item.item_id for item in alone.items]
    assert (second.answer, third.error) == (None, None)
    assert second.error.startswith("expression")


def records(store: Store) -> dict[str, list[dict[str, Any]]]:
    return {kind: kept(store, kind) for kind in ("events", "items", "users")}


def test_a_shop_is_copied_by_its_exports(shops: Shops, url: str, client: Client) -> None:
    """More rows than an export's page has, an import's batch and the client's part."""
    client.import_(EventIn, (event(number) for number in range(6_500)))
    client.import_(ItemIn, (ItemIn(item_id=f"i{n % 10}x", price=n, attributes={"n": n}) for n in range(30)))
    client.import_(UserIn, (UserIn(user_id=f"u{n}", attributes={"n": n}) for n in range(1_200)))
    with Client(url, TOKEN, "copy") as copy:
        for model, row in ((EventIn, EventRow), (ItemIn, ItemRow), (UserIn, UserRow)):
            answer = copy.import_(model, client.export(row))
            assert answer.rejected == 0
            assert copy.import_(model, client.export(row)).lines == answer.lines
    assert len(records(shops.by_name[DEFAULT].store)["events"]) >= 6_500
    assert records(shops.by_name["copy"].store) == records(shops.by_name[DEFAULT].store)
    shown = patiently(lambda: next(client.export(ImpressionRow)))
    assert len(shown.items) > 0


def test_imported_items_and_events_count_at_once(client: Client) -> None:
    client.import_(ItemIn, [ItemIn(item_id="novel", title="orange umbrella", category="group 2")])
    assert client.search(query="orange umbrella").items[0].item_id == "novel"
    client.import_(EventIn, [event(1, key=f"n{n}", user_id="nobody", item_id=f"i2{n}") for n in range(5)])
    assert client.tier("nobody").known_user


def test_an_export_is_cut_into_pages_by_its_cursor(client: Client, url: str) -> None:
    client.import_(EventIn, (event(number) for number in range(50)))
    whole = [row.key for row in client.export(EventRow)]
    asked, cursor, seen = httpx.Client(base_url=url, headers=HEADER), "0", []
    with asked:
        while page := asked.get("/export/events", params={"cursor": cursor, "limit": 1_700}).text.splitlines():
            seen += [json.loads(line)["key"] for line in page]
            cursor = str(json.loads(page[-1])["_cursor"])
        answer = asked.get("/export/events", params={"format": "parquet", "limit": 20})
    assert seen == whole
    frame = pd.read_parquet(BytesIO(answer.content))
    assert frame["key"].tolist() == whole[:20]
    assert answer.headers["x-tierrec-cursor"] == str(frame["_cursor"].iloc[-1])


def lines(count: int, bad: tuple[int, ...] = ()) -> bytes:
    """Lines of events, counted from 1, of which some are bad."""
    texts = [event(number).model_dump_json(exclude_none=True) for number in range(1, count + 1)]
    for number in bad:
        texts[number - 1] = '{"key": 5}'
    return "\n".join(texts).encode()


def post(url: str, kind: str, body: Any, shop: str = DEFAULT, **params: Any) -> httpx.Response:
    headers = HEADER | {"content-type": NDJSON, "x-tierrec-shop": shop}
    return httpx.post(f"{url}/import/{kind}", content=body, params=params, headers=headers, timeout=60)


def test_a_large_body_is_read_as_a_stream(url: str) -> None:
    body = lines(12_000, bad=(11, 11_000))
    assert len(body) > RequestLimits().max_body_bytes
    pieces = [body[place : place + 70_001] for place in range(0, len(body), 70_001)]
    for content in (body, iter(pieces)):  # with its length told, and in chunks
        answer = post(url, "events", content, shop="copy")
        assert answer.status_code == 200, answer.text
        found = Imported.model_validate_json(answer.content)
        assert (found.accepted + found.duplicates, found.lines) == (11_998, 12_000)
        assert [one.line for one in found.first_errors] == [11, 11_000]
        assert found.stopped is None


def test_a_strict_import_stops_and_goes_on_behind_what_is_kept(url: str) -> None:
    stopped = Imported.model_validate_json(post(url, "events", lines(2_500, bad=(1_800,)), strict=True).content)
    assert (stopped.lines, stopped.rejected) == (1_799, 1)
    assert stopped.stopped is not None
    assert stopped.stopped.startswith("line 1800: ")
    rest = post(url, "events", lines(2_500), strict=True, skip=stopped.lines)
    found = Imported.model_validate_json(rest.content)
    assert (found.accepted + found.duplicates, found.lines, found.stopped) == (701, 2_500, None)


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/import/events", "application/json", 415),
        ("/import/events", "text/plain", 415),
        ("/events", NDJSON, 415),
        ("/import/impressions", NDJSON, 400),
        ("/import/events?skip=-1", NDJSON, 400),
    ],
)
def test_what_is_no_import_is_refused(url: str, path: str, kind: str, status: int) -> None:
    answer = httpx.post(url + path, content=b"{}", headers=HEADER | {"content-type": kind})
    assert answer.status_code == status
    assert answer.json()["error"]


def test_an_export_needs_a_key_that_may_administer(shops: Shops, url: str) -> None:
    shop = shops.by_name["locked"]
    _, reader = keys.add_key(shop.folder / keys.FILE, "reader", (KeyScope.READ, KeyScope.WRITE))
    _, admin = keys.add_key(shop.folder / keys.FILE, "admin", (KeyScope.ADMIN,))
    time.sleep(0.1)  # the file is looked at every 50 ms
    with Client(url, reader, "locked") as client:
        assert client.events(events=[event(1)]).accepted == 1
        with pytest.raises(ServiceError, match=r"^403: .*lacks the scope 'admin'"):
            next(client.export(EventRow))
    with Client(url, admin, "locked") as client:
        assert [row.key for row in client.export(EventRow)] == ["k1"]


def test_a_broken_store_is_told_before_and_during_an_import(shops: Shops, url: str) -> None:
    """The store breaks while the second of three batches is on its way."""
    shop = shops.by_name["broken"]
    body = lines(3_000)
    cut = body.index(b"\n", len(body) // 2)

    def breaking() -> Iterator[bytes]:
        yield body[:cut]
        for _ in range(2_000):
            if shop.activity.events_of("u1"):  # the first batch is stored, and the shop has heard of it
                break
            time.sleep(0.02)
        with shop.store.database.writing() as connection:
            connection.exec_driver_sql("alter table events rename to elsewhere")
        yield body[cut:]

    answer = post(url, "events", breaking(), shop="broken")
    assert answer.status_code == 200, answer.text
    found = Imported.model_validate_json(answer.content)
    assert found.stopped == "store: does not answer"
    assert (found.accepted, found.lines) == (1_000, 1_000)
    assert post(url, "events", body, shop="broken").status_code == 503
    with Client(url, TOKEN, "broken", retries=0) as client, pytest.raises(ServiceError, match=r"^503: store: does not"):
        next(client.export(EventRow))


def test_an_answer_begins_while_the_body_still_comes(url: str) -> None:
    """A server in front that waits for a first byte does not give up on a long import."""
    host, _, port = url.removeprefix("http://").partition(":")
    body = lines(3_000)
    head = f"POST /import/events HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\nx-tierrec-shop: busy\r\n"
    head += f"authorization: Bearer {TOKEN}\r\ncontent-type: {NDJSON}\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(60)
        half = body.index(b"\n", len(body) // 2) + 1
        connection.sendall(head.encode() + body[:half])
        first = connection.recv(1000)
        assert first.startswith(b"HTTP/1.1 200")
        connection.sendall(body[half:])
        received = first
        while b'"lines":3000' not in received:
            more = connection.recv(10_000)
            assert more
            received += more
