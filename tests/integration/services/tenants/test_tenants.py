"""Two shops in one process share nothing, and keys grant their scopes only."""

import logging
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.api.middleware import SHOP_HEADER
from services.auth.keys import FILE as KEYS
from services.auth.keys import KeyScope, add_key, revoke_key, rotate_key
from services.auth.limits import RequestLimits
from services.store import Impression
from services.tenants.shop import IMPRESSION_DAYS
from tests.support.endpoints import ADMIN, OPEN, READ, WRITE
from tests.support.open_shops import LOOK_SECONDS, OWN, SURFACES, Caller, Opener, event, ids, until

pytest_plugins = ["tests.support.open_shops"]

NEEDS = {KeyScope.READ: READ, KeyScope.WRITE: WRITE, KeyScope.ADMIN: ADMIN}
ENDPOINTS = {(key, scope.value): given for scope, table in NEEDS.items() for key, given in table.items()}
FILLED = {"item_id": "i16", "request_id": "0", "user_id": "someone", "kind": "events"}


@pytest.fixture
def both(start: Opener) -> tuple[Caller, Caller]:
    """Two shops of one application."""
    one = start("one", "two")
    return one, one.of("two")


def key(caller: Caller, *scopes: KeyScope) -> dict[str, str]:
    """The header of a new key of the shop."""
    label = "+".join(scopes)
    return {"Authorization": f"Bearer {add_key(caller.shop.folder / KEYS, label, scopes)[1]}"}


JSON = {"content-type": "application/json"}


def attempt(caller: Caller, endpoint: tuple[str, str], given: dict[str, Any], **headers: str) -> int:
    method, path = endpoint
    known = {**given, "headers": {**given.get("headers", {}), **headers}}
    return caller.send(method, path.format(**FILLED), **known).status_code


def test_the_table_of_endpoints_is_complete(start: Opener) -> None:
    paths = start().told("GET", "/docs.json")["paths"]
    offered = {(method.upper(), path) for path, one in paths.items() for method in one}
    assert offered == {*READ, *WRITE, *ADMIN}
    routes = {
        (method, route.path.replace(":text}", "}"))
        for route in start().app.routes
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD"
    }
    assert routes <= offered | OPEN


@pytest.mark.parametrize(("endpoint", "scope"), ENDPOINTS)
def test_each_endpoint_requires_its_scope(start: Opener, endpoint: tuple[str, str], scope: str) -> None:
    caller = start()
    keys = {one.value: key(caller, one) for one in KeyScope}
    for name, header in keys.items():
        status = attempt(caller, endpoint, ENDPOINTS[endpoint, scope], **header)
        assert status in ((200, 202, 404) if name == scope else (403,)), name
    assert attempt(caller, endpoint, ENDPOINTS[endpoint, scope]) == 401
    assert attempt(caller, endpoint, ENDPOINTS[endpoint, scope], Authorization="Bearer trk_0_0") == 401


def test_without_a_key_only_loopback_is_served(start: Opener) -> None:
    near, far = start(), start(address="10.1.2.3")
    for (endpoint, _), given in ENDPOINTS.items():
        assert attempt(far, endpoint, given) == 401
        assert attempt(near, endpoint, given) in ((403,) if endpoint in ADMIN else (200, 404))
    for method, path in OPEN:
        assert (near.send(method, path).status_code, far.send(method, path).status_code) == (200, 401)
        assert near.send(method, path, headers={"host": "shop.example"}).status_code == 403
    assert far.send("GET", "/nothing").status_code == 401, "what is not there is guarded, too"
    header = key(near, KeyScope.READ)
    time.sleep(LOOK_SECONDS)
    assert far.send("GET", "/info", headers=header).status_code == 200
    for method, path in OPEN:
        assert far.send(method, path).status_code == 401, "names of shops and figures are not for everybody"
        assert far.send(method, path, headers=header).status_code == near.send(method, path).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "127.0.0.1:3000", "origin": "http://127.0.0.1:3000"}, 200),
        ({"host": "[::1]:3000"}, 200),
        ({"host": "shop.example"}, 403),  # a name that its owner has resolve to this machine
        ({"host": "localhost.shop.example:3000"}, 403),
        ({"host": ""}, 403),
        ({"origin": "https://shop.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:3000", "origin": "http://localhost:5173"}, 403),
        ({"origin": "http://[::1"}, 403),
    ],
)
def test_without_a_key_no_page_of_another_site_is_answered(start: Opener, headers: dict[str, str], status: int) -> None:
    caller = start()
    assert caller.send("POST", "/recommend", json={}, headers=headers).status_code == status
    header = key(caller, KeyScope.READ)
    time.sleep(LOOK_SECONDS)
    assert caller.send("POST", "/recommend", json={}, headers=headers | header).status_code == 200


def test_both_keys_are_valid_during_rotation(start: Opener) -> None:
    caller = start()
    old = key(caller, KeyScope.READ)
    assert caller.send("GET", "/info", headers=old).status_code == 200
    _, token, first = rotate_key(caller.shop.folder / KEYS, "read")
    time.sleep(LOOK_SECONDS)
    new = {"Authorization": f"Bearer {token}"}
    assert {caller.send("GET", "/info", headers=one).status_code for one in (old, new)} == {200}
    revoke_key(caller.shop.folder / KEYS, first.id)
    time.sleep(LOOK_SECONDS)
    assert [caller.send("GET", "/info", headers=one).status_code for one in (old, new)] == [401, 200]


def test_a_key_of_one_shop_is_invalid_for_another(both: tuple[Caller, Caller]) -> None:
    one, two = both
    header = key(one, *KeyScope)
    key(two, *KeyScope)
    for (endpoint, _), given in ENDPOINTS.items():
        assert attempt(one, endpoint, given, **header) in (200, 202, 404)
        assert attempt(two, endpoint, given, **header) == 401


def test_an_unknown_shop_is_not_found(both: tuple[Caller, Caller]) -> None:
    stranger = both[0].of("three")
    for (endpoint, _), given in ENDPOINTS.items():
        assert attempt(stranger, endpoint, given) == 404
    unnamed = Caller(both[0].app, both[0].shops)
    assert unnamed.send("GET", "/info").status_code == 404, "there is no shop called default here"
    header = key(both[0], KeyScope.READ)
    time.sleep(LOOK_SECONDS)
    foreign = both[0].send("GET", "/info")
    guesses = [stranger.send("GET", "/info", headers=one) for one in ({}, header)]
    assert {(one.status_code, one.text) for one in guesses} == {(401, foreign.text)}, "names cannot be tried"


def test_what_is_posted_to_one_shop_is_unknown_in_the_other(both: tuple[Caller, Caller]) -> None:
    one, two = both
    before = {surface: ids(two.ask(surface, user_id="u59", k=40)) for surface in SURFACES}
    one.post_items({"item_id": "kettle", "title": "Copper kettle", "category": "group 3"})
    one.post_items({"item_id": "i31", "stock": 0})
    one.post_users({"user_id": "someone", "attributes": {"plan": "gold"}})
    one.post_events(*(event(number, "u59", "i15", "purchase") for number in range(5)))
    one.post_events(event(1, "someone", "i15"))
    asked = one.recommend(user_id="u59")
    assert one.told("GET", f"/explain/{asked['request_id']}")["request_id"] == asked["request_id"]
    assert two.send("GET", f"/explain/{asked['request_id']}").status_code == 404
    assert {surface: ids(two.ask(surface, user_id="u59", k=40)) for surface in SURFACES} == before
    assert two.send("POST", "/similar", json={"item_id": "kettle"}).status_code == 400
    assert "kettle" not in ids(two.ask("search", query="copper kettle"))
    assert two.recommend(user_id="someone")["known_user"] is False
    assert two.told("GET", "/users/someone/tier")["known_user"] is False
    same = event(1, "someone", "i15")
    assert two.post_events(same) == {"accepted": 1, "duplicates": 0}, "keys of events are a shop's own"
    for shop, events in ((two, 1), (one, 6)):
        shop.headers.update(key(shop, *KeyScope))
        time.sleep(LOOK_SECONDS)
        assert len(shop.send("GET", "/export/events").content.splitlines()) == events
    for kind in ("items", "users"):
        assert [bool(shop.send("GET", f"/export/{kind}").content) for shop in both] == [True, False]
    erased = two.erase("someone")
    assert (erased["events"], erased["users"]) == (1, 0)
    assert one.recommend(user_id="someone")["known_user"]


def test_shops_have_separate_models_rules_and_experiments(start: Opener) -> None:
    start.add("tierrec:other", lambda bundle: None)
    for name, text in (("one", "blocked: [i31]"), ("two", "blocked: [i30]")):
        (start.root / name).mkdir()
        (start.root / name / "review.yaml").write_text(text)
    (start.root / "two" / "experiments.yaml").write_text(
        "try: {surfaces: [products], variants: {a: {share: 0.5}, b: {share: 0.5}}}"
    )
    (start.root / "two" / "rules.yaml").write_text("rules:\n- exclude: category = 'group 0'\n")
    one = start("one", "two")
    two = one.of("two")
    assert "i31" not in one.listed(user_id="u59")
    assert "i31" in two.listed(user_id="u59")
    assert "i30" in one.listed(user_id="u59")
    assert "i30" not in two.listed(user_id="u59", k=40)
    assert not [item for item in two.listed(user_id="u59", k=40) if item.startswith("i0")]
    assert one.recommend(user_id="u59")["experiment"] is None
    assert two.recommend(user_id="u59")["experiment"] == "try"
    assert (one.told("GET", "/experiments"), list(two.told("GET", "/experiments"))) == ({}, ["try"])


def test_ids_that_no_item_has_are_named_in_the_log(start: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = start().shop
    known = shop.models.champion.catalogue.frame["item_id"][0]
    pins = f"[{{pin: {{item_id: '0{known}', slot: 1}}}}, {{pin: {{item_id: '{known}', slot: 2}}}}]"
    (shop.folder / "rules.yaml").write_text(f"rules: {pins}")
    (shop.folder / "review.yaml").write_text("blocked: [gone, a, b, c, d, e, f, g, h]")

    def warnings() -> list[str]:
        shop.configuration.refresh()
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    until(lambda: len(warnings()) == 2)
    rules, review = warnings()
    assert rules.endswith(f"rules.yaml: ids that no item has, without effect until one is added: '0{known}'")
    assert review.endswith("added: 'gone', 'a', 'b', 'c', 'd' and 4 more")


def test_metrics_are_labelled_by_shop(both: tuple[Caller, Caller]) -> None:
    one, two = both
    for _ in range(2):
        one.recommend()
    two.ask("search")
    two.post_events(event(1, "someone", "i15"))
    assert one.metric("tierrec_requests_total", shop="one") == 2
    assert one.metric("tierrec_requests_total", shop="two") == 1
    assert two.metric("tierrec_events_total", shop="one") == 0
    assert two.metric("tierrec_events_total", shop="two") == 1
    for shop in ("one", "two"):
        assert one.metric("tierrec_model_info", shop=shop, bento=OWN) == 1


def test_other_machines_see_the_metrics_of_their_own_shop(start: Opener) -> None:
    near = start("one", "two")
    for caller in (near, near.of("two")):
        caller.recommend(user_id="u59")
    header = key(near, KeyScope.READ)
    time.sleep(LOOK_SECONDS)
    far = Caller(near.app, near.shops, ("10.1.2.3", 1), near.headers | header)
    shops = [set(re.findall('shop="([a-z]+)"', caller.send("GET", "/metrics").text)) for caller in (near, far)]
    assert shops == [{"one", "two"}, {"one"}]
    proxied = near.send("GET", "/metrics", headers=header | {"host": "shop.example"}).text
    assert set(re.findall('shop="([a-z]+)"', proxied)) == {"one"}


def test_too_many_requests_are_rejected_with_retry_after(start: Opener) -> None:
    caller = start("one", "two", limits=RequestLimits(requests_per_second=0.001, burst=3))
    first, second = key(caller, KeyScope.READ), key(caller, KeyScope.READ, KeyScope.WRITE)
    statuses = [caller.send("GET", "/info", headers=first).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    refused = caller.send("GET", "/info", headers=first)
    assert int(refused.headers["retry-after"]) > 0
    assert set(refused.json()) == {"code", "error", "detail"}
    assert caller.send("GET", "/info", headers=second).status_code == 200, "each key has its own"
    assert caller.send("GET", "/metrics").status_code == 200


def test_bodies_are_limited_and_must_be_json(start: Opener) -> None:
    caller = start(limits=RequestLimits(max_body_bytes=200))
    long = caller.send("POST", "/recommend", json={"exclude": ["x" * 20] * 20})
    assert (long.status_code, set(long.json())) == (413, {"code", "error", "detail"})
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/vnd.bentoml+pickle", ""):
        answer = caller.send("POST", "/recommend", content=b"{}", headers={"content-type": kind} if kind else {})
        assert (answer.status_code, "send application/json" in answer.json()["error"]) == (415, True)
    assert caller.send("POST", "/recommend", content=b'{"k": ', headers=JSON).status_code == 400
    unknown = caller.send("GET", "/nothing")
    assert (unknown.status_code, set(unknown.json())) == (404, {"code", "error", "detail"})
    assert caller.send("PUT", "/recommend").status_code == 405


def test_the_header_selects_the_shop(both: tuple[Caller, Caller]) -> None:
    one, _ = both
    answers = {
        name: one.send("GET", "/info", headers={SHOP_HEADER: name}).status_code
        for name in ("one", "two", "One", "one ", "../one")
    }
    assert answers == {"one": 200, "two": 200, "One": 404, "one ": answers["one "], "../one": 404}


def test_a_shop_deletes_impressions_older_than_its_retention(start: Opener) -> None:
    caller = start()
    old = datetime.now(UTC) - timedelta(days=IMPRESSION_DAYS + 1)
    shown = Impression(
        request_id="old", user_id=None, surface="products", items=(), path="blend", model_version="m", at=old
    )
    caller.shop.store.add_impressions([shown, replace(shown, request_id="new", at=datetime.now(UTC))])
    start()  # another worker of the same shop
    until(lambda: caller.shop.store.impression("old") is None)
    assert caller.shop.store.impression("new") is not None
