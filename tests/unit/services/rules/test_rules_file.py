"""rules.yaml: what it may say, what is refused and where, and catalogues that lack or later gain what a rule reads."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from services.catalogue.catalogue import Catalogue
from services.rules import RankedOrder, RepeatRule, Rules, Situation
from tests.support.small_catalogues import NOW, rules_of
from tierrec_core.base.errors import SettingsError


def test_without_rules_only_the_order_counts(tmp_path: Path):
    rules = Rules.read(tmp_path / "rules.yaml")
    catalogue = Catalogue.of(pd.DataFrame({"item_id": ["a", "b", "c"]}))
    situation = Situation("ads", "heavy", {}, NOW, 2)
    order = RankedOrder(np.array([2, 0, 1]), np.array([3.0, 2.0, 1.0]))
    assert rules.allowed(catalogue, situation) is None
    assert rules.apply(order, situation, catalogue).columns.tolist() == [2, 0]
    assert rules.apply(order, situation, catalogue, np.array([True, True, False])).columns.tolist() == [0, 1]


def test_what_a_catalogue_lacks_limits_nothing_but_is_named_by_check():
    catalogue = Catalogue.of(pd.DataFrame({"item_id": ["a", "b"]}))
    situation = Situation("campaigns", "heavy", {}, NOW, 2)
    order = RankedOrder(np.array([1, 0]), np.array([2.0, 1.0]))
    for rule in ({"exclude": "department = 'x'"}, {"cap": {"attribute": "department", "max": 1}}):
        rules = rules_of({"scope": {"tiers": ["light"]}, "pin": {"item_id": "z", "slot": 1}}, rule)
        allowed = rules.allowed(catalogue, situation)
        assert rules.apply(order, situation, catalogue, allowed).columns.tolist() == [1, 0]
        with pytest.raises(SettingsError, match=r"^rules\.1: .*column 'department' is unknown"):
            rules.check(catalogue, ("light", "medium", "heavy"))


def test_a_rule_on_an_unknown_tier_is_refused():
    rules = rules_of({"exclude": "price > 5"}, {"scope": {"tiers": ["light", "gold"]}, "exclude": "price > 5"})
    catalogue, message = Catalogue.of(pd.DataFrame({"item_id": ["a"], "price": [9.0]})), r"'gold' is not a tier; wanted"
    rules.check(catalogue, ("light", "gold"))
    with pytest.raises(SettingsError, match=rf"^rules\.1\.scope\.tiers\.1: {message} one of light, medium, heavy$"):
        rules.check(catalogue, ("light", "medium", "heavy"))


def test_items_posted_later_are_ruled_too():
    rules = rules_of({"exclude": "price > 5"})
    catalogue = Catalogue.of(pd.DataFrame({"item_id": ["a"], "price": [9.0]}))
    situation = Situation("products", "light", {}, NOW, 5)
    assert rules.allowed(catalogue, situation).tolist() == [False]
    rows = [{"item_id": "b", "price": 6}, {"item_id": "c", "price": 5}, {"item_id": "d", "stock": 0}]
    grown = catalogue.with_items([*rows, {"item_id": "a", "price": 1}])
    assert rules.allowed(grown, situation).tolist() == [True, False, True, False]


def test_an_attribute_that_comes_later_is_ruled_from_then_on():
    rules, catalogue = rules_of({"exclude": "colour is null"}), Catalogue.of(pd.DataFrame({"item_id": ["a"]}))
    situation = Situation("products", "light", {}, NOW, 5)
    assert rules.allowed(catalogue, situation).tolist() == [True]
    grown = catalogue.with_items([{"item_id": "b", "colour": "red"}])
    assert rules.allowed(grown, situation).tolist() == [False, True]


def test_reads_what_overrides_a_renewal():
    rules = Rules.parse("repeat: {CHEESE: {may_repeat: true, wait_days: 7}, FRIDGES: {may_repeat: false}}", "x")
    assert rules.repeat == {"CHEESE": RepeatRule(may_repeat=True, wait_days=7), "FRIDGES": RepeatRule(may_repeat=False)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: {}", "rules:"),
        ("rules: [{}]", "rules.0: has none; wanted exactly one of include, exclude, pin"),
        ("rules: [{include: a = 1, exclude: a = 2}]", "has include, exclude; wanted exactly one"),
        ("rules: [{exlude: a = 1}]", "rules.0.exlude: unknown key; did you mean 'exclude'?"),
        ("rules: [{exclude: 'lower(a) = 1'}]", "'lower' is not supported"),
        ("rules: [{exclude: 5}]", "wanted a condition such as price < 10"),
        ("rules: [{pin: {item_id: 0042, slot: 1}}]", "an id is text; write '0042' in quotes"),
        ("rules: [{pin: {item_id: 1e3, slot: 1}}]", "write '1e3' in quotes"),
        ("rules: [{pin: {item_id: 4.0E+12, slot: 1}}]", "write '4.0E+12' in quotes"),
        ("rules: [{pin: {item_id: 2026-01-05, slot: 1}}]", "write '2026-01-05' in quotes"),
        ("rules: [{pin: {item_id: a, slot: 0}}]", "rules.0.pin.slot:"),
        (
            "rules: [{share: {of: a = 1, at_least: .5, at_most: .4}}]",
            "at_least is 0.5, wanted at most at_most, which is 0.4",
        ),
        ("rules: [{share: {of: a = 1, at_least: 1.5}}]", "rules.0.share.at_least:"),
        ("rules: [{price_band: {min: 5, max: 4}}]", "min is 5, wanted at most max, which is 4"),
        ("rules: [{cap: {attribute: a, max: 0}}]", "rules.0.cap.max:"),
        ("rules: [{scope: {surfaces: [homepage]}, exclude: a = 1}]", "rules.0.scope.surfaces.0:"),
        ("repeat: {TEA: {wait_days: -1}}", "repeat.TEA.wait_days:"),
        ("- exclude: a = 1", "holds list, wanted keys with values"),
        ("rules: [", "is not YAML"),
    ],
)
def test_refuses_a_file_and_names_the_place(text: str, message: str):
    with pytest.raises(SettingsError) as caught:
        Rules.parse(text, "shop/rules.yaml")
    assert str(caught.value).startswith("shop/rules.yaml: ")
    assert message in str(caught.value)
