"""Rules against plain loops over rows: what may be shown, and what every page owes to pins, caps and shares."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.rules import RankedOrder, Situation
from services.rules.review import Review
from tests.support import small_catalogues as small

MANY = settings(max_examples=60)
ALL_RULES = small.HIDING | small.PINS | small.CAPS | small.SHARES | small.BOOSTS
RawRules = list[dict[str, Any]]


def page_of(rules: RawRules, brands: list[str | None], order: RankedOrder, k: int, shown: list[int] | None = None):
    """The page of these rules for a catalogue of items i0, i1 ... whose brands alone are known."""
    rows = [dict.fromkeys(small.TYPES) | {"category": None, "brand": brand} for brand in brands]
    situation = Situation("products", "light", {}, small.NOW, k, np.array(shown or [], np.int64))
    return small.rules_of(*rules).apply(order, situation, small.World.of(rows).catalogue).columns.tolist()


@given(st.data(), small.WORLDS, st.lists(small.scoped(ALL_RULES), max_size=6), small.SITUATIONS)
@settings(max_examples=130)
def test_every_page_keeps_every_promise(data: st.DataObject, world: small.World, rules: RawRules, situation: Situation):
    order = data.draw(small.orders(world))
    blocked = data.draw(st.sets(st.integers(0, len(world.rows) - 1)))
    review = Review(blocked=tuple(f"i{column}" for column in blocked))
    here = [rule for rule in rules if small.holds(rule, situation)]
    visible = {column for column, row in enumerate(world.rows) if small.may_show(row, here, situation)}
    masks = [small.rules_of(*rules).allowed(world.catalogue, situation), review.allowed(world.catalogue)]
    given_masks = [mask for mask in masks if mask is not None]
    allowed = np.logical_and.reduce([np.ones(len(world.rows), bool), *given_masks])
    assert set(np.flatnonzero(allowed).tolist()) == visible - blocked

    page = small.rules_of(*rules).apply(order, situation, world.catalogue, allowed).columns.tolist()
    pinned = {int(rule["pin"]["item_id"][1:]) for rule in here if "pin" in rule and situation.surface != "rank"}
    assert len(page) == len(set(page)) <= situation.k
    assert set(page) <= (visible - blocked) & (set(order.columns.tolist()) | pinned)
    for rule in here:
        if "cap" in rule:
            counts = Counter(world.rows[column][rule["cap"]["attribute"]] for column in page)
            assert all(count <= rule["cap"]["max"] for value, count in counts.items() if value is not None)
        if "share" in rule:
            inside = sum(small.CONDITIONS[rule["share"]["of"]](world.rows[column]) for column in page)
            assert inside <= rule["share"]["at_most"] * situation.k + 1e-9


@given(st.data(), small.WORLDS, st.lists(small.PINS, min_size=1, max_size=5), small.SITUATIONS)
@MANY
def test_a_pin_that_may_be_shown_is_at_its_slot(
    data: st.DataObject, world: small.World, pins: RawRules, situation: Situation
):
    order = data.draw(small.orders(world))
    rules = small.rules_of(*pins)
    allowed = rules.allowed(world.catalogue, situation)
    here = set(order.columns.tolist()) if situation.surface == "rank" else set(range(len(world.rows)))
    expected: dict[int, int] = {}
    for pin in pins:
        column, slot = int(pin["pin"]["item_id"][1:]), pin["pin"]["slot"]
        shown = column in here and small.may_show(world.rows[column], [], situation)
        if shown and slot not in expected and column not in expected.values():
            expected[slot] = column
    organic = [one for one in order.columns.tolist() if allowed is None or allowed[one]]
    left = [one for one in organic if one not in expected.values()]
    whole: list[int] = []
    while left or expected:
        slot = len(whole) + 1
        organic_here = slot not in expected and left
        whole.append(left.pop(0) if organic_here else expected.pop(min(expected)))
    assert rules.apply(order, situation, world.catalogue, allowed).columns.tolist() == whole[: situation.k]


@given(st.data(), small.WORLDS, st.lists(small.CAPS, min_size=1, max_size=2), small.SITUATIONS)
@MANY
def test_caps_alone_are_a_greedy_walk(data: st.DataObject, world: small.World, caps: RawRules, situation: Situation):
    order = data.draw(small.orders(world))
    kept: list[int] = []
    for column in order.columns.tolist():
        values = [(world.rows[column][rule["cap"]["attribute"]], rule["cap"]) for rule in caps]
        counts = [sum(world.rows[one][cap["attribute"]] == value for one in kept) for value, cap in values]
        if all(value is None or count < cap["max"] for count, (value, cap) in zip(counts, values, strict=True)):
            kept.append(column)
    page = small.rules_of(*caps).apply(order, situation, world.catalogue)
    assert page.columns.tolist() == kept[: situation.k]


@given(st.data(), small.WORLDS, small.TEXT, st.integers(0, 10), small.SITUATIONS)
@MANY
def test_at_least_is_met_as_far_as_candidates_allow(
    data: st.DataObject, world: small.World, of: str, tenths: int, situation: Situation
):
    order = data.draw(small.orders(world))
    k, matching = situation.k, [small.CONDITIONS[of](world.rows[column]) for column in order.columns]
    page = small.rules_of({"share": {"of": of, "at_least": tenths / 10}}).apply(order, situation, world.catalogue)
    wanted = min(math.ceil(tenths * k / 10), sum(matching))
    assert len(page.columns) == min(k, len(matching))
    assert sum(small.CONDITIONS[of](world.rows[column]) for column in page.columns) >= wanted
    if sum(matching[:k]) >= wanted:
        assert page.columns.tolist() == order.columns[:k].tolist()


def test_two_shares_that_fill_the_page_are_both_met():
    halves = [{"share": {"of": f"brand = '{brand}'", "at_least": 0.5}} for brand in ("own", "other")]
    order = RankedOrder(np.arange(12), -np.arange(12.0))
    assert sorted(page_of(halves, ["own"] * 6 + ["other"] * 6, order, 6)) == [0, 1, 2, 6, 7, 8]


@pytest.mark.parametrize(
    "limit", [{"cap": {"attribute": "brand", "max": 1}}, {"share": {"of": "brand = 'own'", "at_most": 0.2}}]
)
@pytest.mark.parametrize("slot", [2, 9])
def test_a_limit_keeps_a_pin_out(limit: dict[str, Any], slot: int):
    pins = [{"pin": {"item_id": "i0", "slot": 1}}, {"pin": {"item_id": "i1", "slot": slot}}]
    order = RankedOrder(np.array([3, 2]), np.array([1.0, 0.0]))
    assert page_of([*pins, limit], ["own", "own", None, None], order, 5) == [0, 3, 2]


@given(st.data(), small.WORLDS, st.lists(small.PINS | small.CAPS | small.BOOSTS, max_size=4), small.SITUATIONS)
@MANY
def test_a_longer_page_begins_with_the_shorter_one(
    data: st.DataObject, world: small.World, rules: RawRules, situation: Situation
):
    order = data.draw(small.orders(world))
    longer = Situation(**vars(situation) | {"k": situation.k + data.draw(st.integers(1, 6))})
    short, long = (small.rules_of(*rules).apply(order, one, world.catalogue) for one in (situation, longer))
    assert long.columns[: situation.k].tolist() == short.columns.tolist()


@given(st.data(), small.WORLDS, st.lists(small.PINS | small.CAPS, max_size=4), small.SITUATIONS)
@MANY
def test_pages_one_by_one_are_one_long_list(
    data: st.DataObject, world: small.World, rules: RawRules, situation: Situation
):
    order = data.draw(small.orders(world))
    long = Situation(**vars(situation) | {"k": 50})
    whole = small.rules_of(*rules).apply(order, long, world.catalogue).columns.tolist()
    shown: list[int] = []
    for _ in range(len(whole) + 1):
        page = Situation(**vars(situation) | {"shown": np.array(shown, np.int64)})
        shown += small.rules_of(*rules).apply(order, page, world.catalogue).columns.tolist()
    assert shown == whole


def test_a_pin_counts_on_the_page_of_its_slot_alone():
    pins = [{"pin": {"item_id": item, "slot": slot}} for item, slot in (("i4", 1), ("i3", 1), ("i0", 4))]
    order = RankedOrder(np.array([1, 3, 0, 2]), np.arange(4.0)[::-1])
    assert [page_of(pins, [None] * 5, order, 2, shown) for shown in ([], [4, 1])] == [[4, 1], [3, 0]]


def test_a_pin_that_closed_up_has_used_its_slot():
    pins = [{"pin": {"item_id": item, "slot": 2}} for item in ("i0", "i1")]
    nothing = RankedOrder(np.zeros(0, np.int64), np.zeros(0))
    assert [page_of(pins, [None] * 2, nothing, 1, shown) for shown in ([], [0])] == [[0], []]


@given(st.data(), small.WORLDS, st.lists(small.BOOSTS, min_size=1, max_size=3), small.SITUATIONS)
@MANY
def test_boosts_add_spreads_and_keep_ties_in_order(
    data: st.DataObject, world: small.World, rules: RawRules, situation: Situation
):
    order = data.draw(small.orders(world))
    spread = float(np.std(order.scores)) if len(order.scores) else 0.0
    scores = dict(zip(order.columns.tolist(), order.scores.tolist(), strict=True))
    for column in scores:
        matching = [rule["boost"] for rule in rules if small.CONDITIONS[rule["boost"]["of"]](world.rows[column])]
        scores[column] += spread * sum(boost["factor"] for boost in matching)
    page = small.rules_of(*rules).apply(order, situation, world.catalogue)
    np.testing.assert_allclose(page.scores, sorted(scores.values(), reverse=True)[: situation.k], atol=1e-9)
    np.testing.assert_allclose(page.scores, [scores[column] for column in page.columns.tolist()], atol=1e-9)
