"""Rules, review and requests restrict what is shown, on every surface and page and by every strategy."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from services.experiments import Experiments
from services.rules import Rules
from services.rules.review import Review
from services.tenants.configuration import Configuration
from tests.support.damaged_models import (
    FACTORS,
    POPULARITY,
    PRIOR,
    boost_outside,
    campaigns_nan,
    lists_outside,
    model_lost,
)
from tests.support.open_shops import LOOK_SECONDS, OWN, SURFACES, Caller, Opener, World, event, ids, make_world
from tests.support.packaged_project import PROMOTED
from tests.support.random_rules import CAMPAIGNS, FACTS, HIDDEN, ITEMS, NEW, WHOLE, Wishes, facts, wishes

pytest_plugins = ["tests.support.open_shops"]

PATHS = {
    "whole": (),
    "no blend": (lists_outside, model_lost, boost_outside, campaigns_nan),
    "no factors": (lists_outside, model_lost, boost_outside, *FACTORS),
    "no prior": (lists_outside, model_lost, *FACTORS, PRIOR),
    "no popularity": (lists_outside, model_lost, *FACTORS, POPULARITY),
}
PERSONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("heavy", {"user_id": "u59"}),
    ("medium", {"user_id": "u17"}),
    ("light", {"user_id": "nobody"}),
    ("light", {"history": ["i11", "i12"]}),
    ("heavy", {"user_id": "u55", "context": {"basket": ["i00"]}}),
)


@pytest.fixture(scope="module")
def callers(opener: Opener) -> Iterator[dict[str, Caller]]:
    """A shop for each way in which models may fail, with the same items posted to each."""
    found = {}
    for name, damage in PATHS.items():

        def all_of_it(bundle: Path, damage: tuple[Callable[[Path], None], ...] = damage) -> None:
            for one in damage:
                one(bundle)

        tag = opener.add(f"tierrec:{name.replace(' ', '-')}", all_of_it)
        found[name] = opener(name.replace(" ", "-"), default=tag)
        posted = [{name: value for name, value in item.items() if value is not None} for item in NEW.values()]
        found[name].post_items(*posted)
        for tier, who in PERSONS:
            if "user_id" in who:
                assert found[name].send("GET", f"/users/{who['user_id']}/tier").json()["tier"] == tier
    yield found
    for caller in found.values():
        assert caller.metric("tierrec_requests_total", status="200") > 0


def all_pages(caller: Caller, surface: str, body: dict[str, Any], k: int) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor = None
    while cursor is not None or not pages:
        answer = caller.ask(surface, **body, k=k, **({"cursor": cursor} if cursor else {}))
        pages.append(ids(answer))
        cursor = answer["cursor"]
        assert len(pages) < 100
    return pages


@settings(max_examples=100)
@given(
    path=st.sampled_from(sorted(PATHS)),
    surface=st.sampled_from(SURFACES),
    person=st.sampled_from(PERSONS),
    wished=wishes,
    told=facts,
    k=st.sampled_from([3, 10, 60]),
)
def test_what_is_hidden_never_appears(
    callers: dict[str, Caller],
    path: str,
    surface: str,
    person: tuple[str, dict[str, Any]],
    wished: Wishes,
    told: dict[str, str],
    k: int,
) -> None:
    caller, (tier, who) = callers[path], person
    caller.shop.configuration.now = wished.configuration()
    if told:
        caller.post_items(*({"item_id": item} | WHOLE | FACTS[fact] for item, fact in told.items()))
    asked = dict(who) | {"exclude": wished.exclude}
    if surface in ("search", "similar"):
        asked.pop("history", None)
        tier = "light" if "history" in who else tier
    if surface == "rank":
        asked["items"] = [*ITEMS, *NEW]
    if wished.filter is not None:
        asked["filter"] = wished.filter.text
    pages = all_pages(caller, surface, asked, k)
    shown = [item for page in pages for item in page]
    for item in told:
        caller.post_items({"item_id": item} | WHOLE)
    basket = who.get("context", {}).get("basket", [])
    out_of_sight = {item for item, fact in told.items() if fact in HIDDEN} | set(basket)
    kind = CAMPAIGNS if surface == "campaigns" else {**ITEMS, **NEW}
    may = {name for name, item in kind.items() if wished.may_show(item, surface, tier) and name not in out_of_sight}
    assert set(shown) <= may
    assert len(shown) == len(set(shown))
    assert all(len(page) <= k for page in pages)
    if surface in ("products", "onboarding", "rank", "campaigns") and not wished.moving:
        assert set(shown) == may, "and what may be shown is, sooner or later"
    if surface == "ads" and not wished.moving:
        assert set(shown) == may & set(PROMOTED)


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("path", PATHS)
def test_a_blocked_item_is_on_no_surface_and_ranked_by_no_strategy(
    callers: dict[str, Caller], path: str, surface: str
) -> None:
    caller = callers[path]
    caller.shop.configuration.now = Configuration(Rules(), Review(), Experiments({}))
    for _, who in PERSONS:
        asked = {name: one for name, one in who.items() if name != "history" or surface not in ("search", "similar")}
        first = ids(caller.ask(surface, **asked, k=60))
        for item in first[:3]:
            blocked = Review.model_validate({"blocked": [item]})
            pinned = Rules.model_validate({"rules": [{"pin": {"item_id": item, "slot": 1}}]})
            caller.shop.configuration.now = Configuration(pinned, blocked, Experiments({}))
            assert set(ids(caller.ask(surface, **asked, k=60))) == set(first) - {item}
        caller.shop.configuration.now = Configuration(Rules(), Review(), Experiments({}))


def write(caller: Caller, name: str, content: Any) -> None:
    """Change a file of the shop as a person does, and wait until it is looked at again."""
    with (caller.shop.folder / name).open("w") as stream:
        YAML().dump(content, stream)
    time.sleep(LOOK_SECONDS)


def test_files_are_read_again_when_they_change(start: Opener) -> None:
    one, other = start(), start()
    write(one, "rules.yaml", {"rules": [{"exclude": "category = 'group 3'"}]})
    for caller in (one, other):
        assert not [item for item in caller.listed(user_id="u59", k=40) if item.startswith("i3")]
    write(one, "review.yaml", {"blocked": ["i00"], "approval": {"required_for": "price < 4"}})
    assert not {"i00", "i01", "i02"} & set(other.listed(user_id="u59", k=40))
    write(one, "review.yaml", {"approval": {"required_for": "price < 4", "approved": ["i01"]}})
    assert {"i00", "i01", "i02"} & set(other.listed(user_id="u59", k=40)) == {"i01"}
    (one.shop.folder / "rules.yaml").unlink()
    time.sleep(LOOK_SECONDS)
    assert other.listed(user_id="u59")[0].startswith("i3")


@pytest.mark.parametrize("nonsense", ["rules: [{exclude: 'price <'}]", "rules: {", "rules: [{}]", "[1]"])
def test_nonsense_keeps_the_old_rules_and_is_counted(start: Opener, nonsense: str) -> None:
    caller = start()
    write(caller, "rules.yaml", {"rules": [{"exclude": "item_id = 'i30'"}]})
    assert "i30" not in caller.listed(user_id="u59", k=40)
    (caller.shop.folder / "rules.yaml").write_text(nonsense)
    time.sleep(LOOK_SECONDS)
    for _ in range(3):
        assert "i30" not in caller.listed(user_id="u59", k=40)
    assert caller.metric("tierrec_swaps_total", result="rules_refused") == 1
    assert caller.metric("tierrec_swaps_total", result="rules_loaded") == 1


def test_an_item_leaves_when_its_time_is_over(start: Opener) -> None:
    caller = start()
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    caller.post_items({"item_id": "i30", "available_until": soon.isoformat()})
    before, asked = caller.listed(user_id="u59"), datetime.now(UTC)
    time.sleep(max((soon - datetime.now(UTC)).total_seconds(), 0) + 0.01)
    assert asked >= soon or "i30" in before
    assert "i30" not in caller.listed(user_id="u59", k=40)


def test_pins_shares_and_caps_hold_on_the_page(start: Opener) -> None:
    caller = start()
    write(
        caller,
        "rules.yaml",
        {
            "rules": [
                {"pin": {"item_id": "i05", "slot": 3}},
                {"share": {"of": "brand = 'brand 0'", "at_least": 0.5}},
                {"cap": {"attribute": "category", "max": 4}},
            ]
        },
    )
    for who in ({"user_id": "u59"}, {"user_id": "nobody"}, {"history": ["i21"]}):
        shown = caller.listed(**who)
        assert shown[2] == "i05"
        assert len([item for item in shown if int(item[1:]) % 3 == 0]) >= 5
        assert all(len([item for item in shown if item.startswith(f"i{group}")]) <= 4 for group in range(4))


def test_rules_hold_for_a_segment_alone(start: Opener) -> None:
    caller = start()
    caller.post_users({"user_id": "u59", "attributes": {"age": "minor"}})
    rule = {"scope": {"segments": {"age": "minor"}}, "exclude": "brand = 'brand 0'"}
    write(caller, "rules.yaml", {"rules": [rule]})
    assert not [item for item in caller.listed(user_id="u59", k=40) if int(item[1:]) % 3 == 0]
    assert [item for item in caller.listed(user_id="u55", k=40) if int(item[1:]) % 3 == 0]
    asked = caller.listed(user_id="u55", k=40, context={"attributes": {"age": "minor"}})
    assert not [item for item in asked if int(item[1:]) % 3 == 0]


def test_what_was_just_bought_waits_as_its_category_says(start: Opener) -> None:
    caller = start()
    write(caller, "rules.yaml", {"repeat": {"group 1": {"may_repeat": False}, "group 2": {"wait_days": 0}}})
    caller.post_events(*(event(number, "u59", f"i{number}5", "purchase") for number in (1, 2)))
    caller.post_events(*(event(number, "newcomer", f"i{number}5", "purchase") for number in (1, 2)))
    for user in ("u59", "newcomer"):
        for surface in ("products", "onboarding"):
            shown = caller.listed(surface=surface, user_id=user, k=40)
            assert ("i15" in shown, "i25" in shown) == (False, True)
        assert "i15" in caller.listed(surface="rank", user_id=user, items=["i15", "i25"]), "what was asked for"
        assert "i15" in ids(caller.ask("search", user_id=user, k=40))


def test_a_purchase_before_the_model_waits_where_rules_say_so(start: Opener, events: pd.DataFrame) -> None:
    caller = start()
    bought = {item for item in events.loc[events["user_id"].eq("u59"), "item_id"] if item.startswith("i3")}
    before = caller.listed(user_id="u59", k=40)
    assert bought <= set(before)
    write(caller, "rules.yaml", {"repeat": {"group 3": {"may_repeat": False}}})
    assert caller.listed(user_id="u59", k=40) == [item for item in before if item not in bought]
    assert "i31" in caller.listed(k=40), "nobody has bought it who has no name"


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory, items: pd.DataFrame) -> World:
    """A world whose params.yaml blocks the item that most people buy."""
    return make_world(tmp_path_factory.mktemp("careful"), items, policy={"blocked_items": ["i30"]})


@pytest.mark.parametrize("damage", PATHS.values(), ids=PATHS)
def test_what_params_block_is_not_shown_either(
    start: Opener, careful: World, damage: tuple[Callable[[Path], None], ...]
) -> None:
    start.bundles[OWN] = careful.bundle
    caller = start(default=start.add("tierrec:careful", lambda bundle: [one(bundle) for one in damage]))
    for surface in SURFACES:
        for _, who in PERSONS:
            asked = {name: one for name, one in who.items() if name == "user_id" or surface == "products"}
            shown = [item for page in all_pages(caller, surface, asked, 20) for item in page]
            assert "i30" not in shown
            assert "i31" in shown or surface in ("ads", "campaigns") or not shown
