"""Both clients against a server on loopback that refuses, breaks off and comes back."""

import asyncio
import json
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api import middleware
from tierrec_client import AsyncClient, Client, EventIn, EventRow, Imported, ItemRow, ServiceError, models
from tierrec_client.calls import NDJSON
from tierrec_client.client import SHOP_HEADER
from tierrec_client.errors import Backoff
from tierrec_client.models import LineError, Problem

pytest_plugins = ["tests.support.scripted_server"]

EVENT = EventIn(key="k", user_id="u", item_id="i", event="view")
JSON = "application/json"
ACKNOWLEDGED = (200, b'{"accepted": 1, "duplicates": 0}')
BUSY = (503, b'{"error": "store: does not answer"}')


def test_what_may_be_repeated_is_sent_again(serve, way) -> None:
    scripted, url = serve(BUSY, 5, ACKNOWLEDGED)
    assert way.ask(url, "events", events=[EVENT]) == models.Acknowledged(accepted=1, duplicates=0)
    assert [body for *_, body in scripted.seen] == [scripted.seen[0][3]] * 3


@pytest.mark.parametrize("step", [BUSY, 5])
def test_what_may_not_be_repeated_is_sent_once(serve, way, step) -> None:
    scripted, url = serve(step)
    with pytest.raises(ServiceError) as caught:
        way.ask(url, "recommend", user_id="u")
    assert len(scripted.seen) == 1
    assert caught.value.status == (503 if step == BUSY else None)


def test_a_refusal_is_told_at_once_and_whole(serve, way) -> None:
    detail = [{"loc": ["body", "k"], "msg": "too much", "type": "x"}]
    scripted, url = serve((400, json.dumps({"error": "k: too much", "detail": detail}).encode()))
    with pytest.raises(ServiceError, match=r"^400: k: too much$") as caught:
        way.ask(url, "events", events=[EVENT])
    assert (caught.value.status, caught.value.problem.detail) == (400, detail)
    assert len(scripted.seen) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((502, b"<html>bad gateway"), "^502: <html>bad gateway$"),
        ((200, b'{"tier": 1}'), "^200: /users/u/tier: the answer does not match"),
    ],
)
def test_an_answer_that_is_none_is_told(serve, way, answer, message: str) -> None:
    _, url = serve(answer)
    with pytest.raises(ServiceError, match=message):
        way.ask(url, "tier", "u")


def test_nobody_there_is_told(serve, way) -> None:
    _, url = serve(ACKNOWLEDGED)
    free = url.rpartition(":")[0] + ":9"
    with pytest.raises(ServiceError, match=r"^no answer: http://127\.0\.0\.1:9: .*; check that the service is running"):
        way.ask(free, "info", given={"retries": 1})


@pytest.mark.parametrize("url", ["", "127.0.0.1:3000", "ftp://host", "http://", "http://host:x"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="wanted http://HOST:PORT"):
            kind(url)


def test_key_and_shop_go_with_each_request_and_only_where_given(serve, way) -> None:
    scripted, url = serve(ACKNOWLEDGED)
    way.ask(url, "events", events=[EVENT], given={"key": "trk_1", "shop": "north"})
    way.ask(url, "events", events=[EVENT])
    (_, _, first, _), (_, _, second, _) = scripted.seen
    assert (first["Authorization"], first[SHOP_HEADER], first["content-type"]) == ("Bearer trk_1", "north", JSON)
    assert {"Authorization", SHOP_HEADER} & second.keys() == set()
    assert SHOP_HEADER == middleware.SHOP_HEADER


def test_any_id_arrives_as_it_is(serve) -> None:
    scripted, url = serve((200, b'{"events": 0, "impressions": 0, "users": 0}'))

    with Client(url) as client:

        @given(st.sampled_from(["..", ".", "a/../b", "a/tier", "%2F", "?x=1#y", "a b+c"]) | st.text(min_size=1))
        def holds(user_id: str) -> None:
            client.erase(user_id)
            path = scripted.seen[-1][1]
            assert path.startswith("/users/")
            assert unquote(path.removeprefix("/users/")) == user_id

        holds()


ROWS = [EventRow(_cursor=3 * n + 1, key=f"k{n}\u2028\x85", user_id="u", item_id="i", event="view") for n in range(9)]
LINES = [row.model_dump(mode="json", exclude_none=True) | {"_cursor": row.cursor} for row in ROWS]
EXPORTED = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in LINES)


@pytest.mark.parametrize("cuts", [(), (0, 0), (10, 300), (250, 130, 260)])
@pytest.mark.parametrize("limit", [None, 1, 5])
def test_an_export_goes_on_where_it_broke_off(serve, way, cuts: tuple[int, ...], limit: int | None) -> None:
    scripted, url = serve(*cuts, len(EXPORTED), rows=EXPORTED)
    assert way.ask(url, "export", EventRow, cursor=3, limit=limit) == ROWS[1:][:limit]
    asked = [int(dict(parse_qsl(urlsplit(path).query))["cursor"]) for _, path, *_ in scripted.seen]
    assert asked[0] == 3
    assert asked == sorted(asked)


def test_an_export_gives_up_when_nothing_comes(serve, way) -> None:
    scripted, url = serve(0, rows=EXPORTED)
    with pytest.raises(ServiceError, match=r"^no answer"):
        way.ask(url, "export", EventRow, given={"retries": 2})
    assert len(scripted.seen) == 3


def test_an_export_that_is_refused_or_is_none_is_told(serve, way) -> None:
    _, url = serve((403, b'{"error": "key: lacks the scope"}'))
    with pytest.raises(ServiceError, match=r"^403: key: lacks"):
        way.ask(url, "export", EventRow)
    _, url = serve((200, b'{"_cursor": 1, "key": "k"}\n'))
    with pytest.raises(ServiceError, match="the line after cursor 0 is not a valid ItemRow"):
        way.ask(url, "export", ItemRow)


def test_an_import_is_sent_in_parts_whose_counts_add_up(serve, way) -> None:
    part = Imported(accepted=997, duplicates=1, rejected=2, first_errors=[LineError(line=7, error="x")], lines=1000)
    scripted, url = serve((200, part.model_dump_json().encode()), BUSY, (200, part.model_dump_json().encode()))
    rows = [EVENT.model_copy(update={"key": f"k{number}"}) for number in range(2500)]
    answer = way.ask(url, "import_", EventIn, iter(rows))
    assert answer == Imported(
        accepted=3 * 997,
        duplicates=3,
        rejected=6,
        first_errors=[LineError(line=line, error="x") for line in (7, 1007, 2007)],
        lines=3000,
    )
    bodies = [body for *_, body in scripted.seen]
    assert bodies[1] == bodies[2]
    sent = b"".join([bodies[0], *bodies[2:]]).splitlines()
    assert [EventRow.model_validate_json(line).key for line in sent] == [row.key for row in rows]
    assert {(path, headers["content-type"]) for _, path, headers, _ in scripted.seen} == {("/import/events", NDJSON)}


def test_an_async_import_takes_what_an_async_export_gives(serve) -> None:
    _, source = serve(len(EXPORTED), rows=EXPORTED)
    scripted, target = serve((200, Imported(accepted=len(ROWS)).model_dump_json().encode()))

    async def copy() -> Imported:
        async with AsyncClient(source) as one, AsyncClient(target) as other:
            return await other.import_(EventIn, one.export(EventRow))

    assert asyncio.run(copy()).accepted == len(ROWS)
    ((*_, body),) = scripted.seen
    assert [EventIn.model_validate_json(line).key for line in body.split(b"\n")[:-1]] == [row.key for row in ROWS]


def test_backoff_double_and_end() -> None:
    passing = ServiceError(503, Problem(error="later"))
    for _ in range(20):
        backoff = Backoff(3)
        for number in range(3):
            assert 0.05 * 2**number <= backoff.next_delay(passing) <= 0.1 * 2**number
        with pytest.raises(ServiceError):
            backoff.next_delay(passing)
        backoff.reset()
        assert backoff.next_delay(passing) <= 0.1
    with pytest.raises(ServiceError, match=r"^400: wrong$"):
        Backoff(3).next_delay(ServiceError(400, Problem(error="wrong")))
