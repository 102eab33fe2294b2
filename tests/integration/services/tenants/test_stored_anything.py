"""Whatever a shop's store and files hold, lists are answered and a fresh worker starts."""

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from services.shared_files import read_or_last_valid
from services.store.schema import EVENTS, ITEMS, USERS
from services.tenants.shops import ShopsSettings
from tests.support.open_shops import SURFACES, Caller, Opener, until
from tierrec_core.base.errors import SettingsError, TierRecError

pytest_plugins = ["tests.support.open_shops"]

WORDS = ("self", "index", "item_id", "stock", "title", "available_from", "price", "i00", "light", "next", "products")
DATES = ("2026-02-30", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "2099-01-01")
DEEP, BOMB = (
    "[" * 3000,
    "a: &a [x]\n"
    + "".join(f"{n}: &{n} [{','.join(['*' + p] * 9)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
)
NASTY = (*DATES, "9" * 5000, "-1e999", "\x00", "\u2028", "😀", "", "%" * 50, "'", DEEP, BOMB)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from((*WORDS, *DATES, "", "'"))
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)
CONDITIONS = (
    "available_from > '2026-02-30'",
    "available_until < '9999-12-31T23:59:59-23:00'",
    "price < " + "9" * 1000,
    "title like '%_%'",
    "self = 1",
    "item_id in ('i00', null)",
    "(" * 200 + "price > 1" + ")" * 200,
)
effects = st.one_of(
    st.sampled_from(CONDITIONS).map(lambda text: {"exclude": text}),
    st.sampled_from(CONDITIONS).map(lambda text: {"boost": {"of": text, "factor": 1}}),
    st.sampled_from(WORDS).map(lambda name: {"cap": {"attribute": name, "max": 1}}),
    st.sampled_from(WORDS).map(lambda item: {"pin": {"item_id": item, "slot": 1}}),
    values,
)
variants = st.fixed_dictionaries(
    {"share": st.just(0.5)}, optional={"task": values, "release": values, "policy": values}
)
experiment = st.fixed_dictionaries(
    {"surfaces": st.just(["products"]), "variants": st.dictionaries(st.sampled_from("abc"), variants, max_size=3)},
    optional={"starts": st.sampled_from(DATES), "ends": st.sampled_from(DATES) | values, "horizon_hours": values},
)
CONTENTS: dict[str, st.SearchStrategy[Any]] = {
    "rules.yaml": st.fixed_dictionaries({"rules": st.lists(effects, max_size=3)}, optional={"repeat": values}),
    "review.yaml": st.fixed_dictionaries(
        {}, optional={"blocked": values, "approval": st.sampled_from(CONDITIONS).map(lambda t: {"required_for": t})}
    ),
    "experiments.yaml": st.dictionaries(st.sampled_from(["try", "other", "X"]), experiment | values, max_size=2),
    "pointer.json": st.fixed_dictionaries(
        {"champion": values | st.just({"bento": "tierrec:gone", "model": "m"})},
        optional={"challenger": values, "share": values, "changed": st.sampled_from(DATES)},
    ),
    "keys.json": st.fixed_dictionaries({"keys": values}),
}
files = st.sampled_from(sorted(CONTENTS)).flatmap(
    lambda name: st.tuples(
        st.just(name), (CONTENTS[name] | values).map(lambda value: json.dumps(value)) | st.sampled_from(NASTY)
    )
)
texts = st.sampled_from((*WORDS, "u59", "p")) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=4
)
rows = st.one_of(
    st.tuples(
        st.just(ITEMS),
        st.fixed_dictionaries({"item_id": texts, "attributes": values | st.dictionaries(texts, values, max_size=3)}),
    ),
    st.tuples(st.just(USERS), st.fixed_dictionaries({"user_id": texts, "attributes": values})),
    st.tuples(
        st.just(EVENTS),
        st.fixed_dictionaries(
            {
                "key": texts,
                "user_id": texts,
                "item_id": texts,
                "event": st.sampled_from(["purchase", "view", "redeem", "x"]),
                "timestamp": st.datetimes(timezones=st.just(UTC)),
                "received_at": st.just(datetime(2026, 1, 1, tzinfo=UTC)),
                "quantity": st.none() | st.floats(allow_nan=False),
            }
        ),
    ),
)
names = (f"shop{number}" for number in itertools.count())
ANYTHING = settings(max_examples=10, suppress_health_check=list(HealthCheck))


def statuses(caller: Caller, surfaces: Sequence[str] = SURFACES[:5]) -> set[int]:
    """Of every list, for a known user, a visitor and a newcomer."""
    asked = [
        ("/recommend", {"surface": surface} | ({"items": ["i00", "i31"]} if surface == "rank" else {}))
        for surface in surfaces
    ]
    users: tuple[dict[str, Any], ...] = ({"user_id": "u59"}, {"user_id": "p"}, {"history": ["i31"]})
    bodies = [(path, body | user) for path, body in asked for user in users]
    bodies += [("/search", {"query": "thing"}), ("/similar", {"item_id": "i00"})]
    answers = caller.send_all([("POST", path, {"json": body}) for path, body in bodies])
    return {answer.status_code for answer in answers}


def insert_rows(caller: Caller, stored: list[tuple[Any, dict[str, Any]]]) -> None:
    """As another program may write them, past every check of the service."""
    with caller.shop.store.database.writing() as connection:
        for table, row in stored:
            connection.execute(insert(table).prefix_with("or ignore").values(row))
    caller.shop.store.changes.increment()


@ANYTHING
@example([(ITEMS, {"item_id": "p", "attributes": {"self": 1}})])
@example([(ITEMS, {"item_id": "p", "attributes": {"stock": 10**400}}), (USERS, {"user_id": "u59", "attributes": [1]})])
@given(st.lists(rows, min_size=2, max_size=15))
def test_whatever_rows_are_stored(opener: Opener, stored: list[tuple[Any, dict[str, Any]]]) -> None:
    name = next(names)
    caller = opener(name)
    try:
        insert_rows(caller, stored)
        assert statuses(caller) == {200}
        assert statuses(opener(name), ["products"]) == {200}
    finally:
        opener.close()


@ANYTHING
@example([("rules.yaml", "rules: [{exclude: \"available_from > '9999-12-31T23:59:59-23:00'\"}]")])
@example(
    [("experiments.yaml", "try: {surfaces: [ads], variants: {a: {share: .5}, b: {share: .5}}, starts: 2026-02-30}")]
)
@example([("rules.yaml", DEEP), ("review.yaml", BOMB), ("experiments.yaml", "9" * 5000)])
@example([("pointer.json", '{"champion": {"bento": "tierrec:gone", "model": "m"}, "changed": "2026-01-01T00:00:00Z"}')])
@given(st.lists(files, min_size=1, max_size=3))
def test_whatever_files_say(opener: Opener, written: list[tuple[str, str]]) -> None:
    name = next(names)
    caller = opener(name)
    try:
        for file, text in written:
            (caller.shop.folder / file).write_text(text, encoding="utf-8", errors="replace")
        allowed = {200, 401} if "keys.json" in dict(written) else {200}
        assert statuses(caller) <= allowed
        assert statuses(opener(name), ["products"]) <= allowed
    finally:
        opener.close()


def test_an_import_of_any_attribute_is_served_and_one_of_a_wrong_type_refused(start: Opener) -> None:
    start.keyed = True
    caller = start()
    lines = [{"item_id": "p", "attributes": {"self": 1}}, {"item_id": "q", "attributes": {"stock": "many"}}]
    answer = import_items(caller, *lines)
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert answer["first_errors"][0]["error"] == "items: q: stock is 'many', wanted a number"
    assert caller.told("GET", "/info")["num_items"] == 41


def import_items(caller: Caller, *items: dict[str, Any]) -> dict[str, Any]:
    content = "\n".join(map(json.dumps, items))
    answer = caller.told("POST", "/import/items", content=content, headers={"content-type": "application/x-ndjson"})
    return dict(answer)


@pytest.mark.parametrize("between", [0, 1000])
def test_items_that_contradict_one_another_are_refused_within_an_import(start: Opener, between: int) -> None:
    """Also across batches of a thousand."""
    start.keyed = True
    caller = start()
    filling = [{"item_id": "r", "stock": 1}] * between
    answer = import_items(
        caller, {"item_id": "p", "attributes": {"a": 1}}, *filling, {"item_id": "q", "attributes": {"a": "x"}}
    )
    assert (answer["accepted"], answer["rejected"]) == (1 + between, 1)
    assert answer["first_errors"][0]["error"] == "items: q: a is 'x', wanted a number"
    assert caller.metric("tierrec_skipped_rows_total") == 0


def test_of_posts_at_once_that_contradict_one_another_one_is_refused(start: Opener) -> None:
    caller = start()
    for name in map(str, range(5)):
        posts = [{"item_id": item, "attributes": {name: value}} for item, value in (("p", 1), ("q", "x"))]
        answers = caller.send_all([("POST", "/items", {"json": {"items": [post]}}) for post in posts])
        assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert caller.metric("tierrec_skipped_rows_total") == 0


def test_an_attribute_of_a_wrong_type_leaves_the_others_of_its_item(start: Opener) -> None:
    caller = start()
    insert_rows(caller, [(ITEMS, {"item_id": "p", "attributes": {"a": 1}})])
    insert_rows(caller, [(ITEMS, {"item_id": "i31", "attributes": {"a": "x", "title": "New"}})])
    assert "New" in [item["title"] for item in caller.recommend(user_id="u59", k=40)["items"]]
    caller.post_items({"item_id": "i31", "title": "Newer"})
    for worker in (caller, start()):
        assert "Newer" in [item["title"] for item in worker.recommend(user_id="u59", k=40)["items"]]


def test_rows_that_cannot_be_applied_are_counted_and_logged(start: Opener, capsys: pytest.CaptureFixture[str]) -> None:
    caller = start()
    future = datetime(2099, 1, 1, tzinfo=UTC)
    event = {
        "key": "1",
        "user_id": "u59",
        "item_id": "i31",
        "event": "purchase",
        "timestamp": future,
        "received_at": future,
    }
    insert_rows(
        caller, [(ITEMS, {"item_id": "p", "attributes": {"price": "x"}}), (ITEMS, {"item_id": "q", "attributes": {}})]
    )
    insert_rows(caller, [(USERS, {"user_id": "u", "attributes": 5}), (EVENTS, event)])
    assert "i31" in caller.listed(user_id="u59", k=40)
    until(lambda: caller.told("GET", "/info")["num_items"] == 42)
    assert {kind: caller.metric("tierrec_skipped_rows_total", kind=kind) for kind in ("items", "users", "events")} == {
        "items": 1,
        "users": 1,
        "events": 1,
    }
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["reason"] for line in told if line["event"] == "skipped"][
        -1
    ] == "items: p: price is 'x', wanted a number"


@pytest.mark.parametrize("moment", [*DATES, "2099-01-01T00:00:00Z", "1969-12-31T23:59:59Z"])
def test_times_out_of_range_are_refused(start: Opener, moment: str) -> None:
    caller = start()
    event = {"key": "1", "user_id": "u59", "item_id": "i31", "event": "purchase", "timestamp": moment}
    assert caller.send("POST", "/events", json={"events": [event]}).status_code == 400
    if not moment.startswith(("2099", "1969")):
        refused = caller.send("POST", "/recommend", json={"filter": f"available_from > '{moment}'"})
        assert refused.status_code == 400


@pytest.mark.parametrize(
    "body", ['{"k": %s}' % ("9" * 5000), '{"k":' * 5000, '{"filter": "price < %s"}' % ("9" * 1900)]
)
def test_long_numbers_and_deep_nesting_are_refused(start: Opener, body: str) -> None:
    answer = start().send("POST", "/recommend", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


@ANYTHING
@given(
    (st.fixed_dictionaries({"shops": values | st.just({"a": {"folder": "x"}})}) | values).map(json.dumps)
    | st.sampled_from(NASTY)
)
def test_an_invalid_file_of_shops_is_refused_or_replaced_by_the_last_valid_one(
    tmp_path_factory: Any, text: str
) -> None:
    path: Path = tmp_path_factory.mktemp("shops") / "shops.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        wanted = ShopsSettings.read(path)
    except SettingsError:
        path.write_text("shops: {one: {folder: one}}")
        wanted = read_or_last_valid(path, ShopsSettings.read, print)
        path.write_text(text, encoding="utf-8", errors="replace")
    errors: list[TierRecError] = []
    assert read_or_last_valid(path, ShopsSettings.read, errors.append) == wanted
