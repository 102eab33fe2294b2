"""Small catalogues that are also plain rows, with rules and situations drawn for them, and what rules say of a row."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from services.catalogue.catalogue import Catalogue
from services.names import SURFACES
from services.rules import RankedOrder, Rules, Situation

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
TYPES = {"stock": "Float64", "price": "Float64", "available_from": "datetime64[us, UTC]"}
TYPES["available_until"] = TYPES["available_from"]
CONDITIONS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "price < 5": lambda row: row["price"] is not None and row["price"] < 5,
    "brand = 'own'": lambda row: row["brand"] == "own",
    "category in ('a', 'b')": lambda row: row["category"] in ("a", "b"),
    "brand is null or price > 7": lambda row: row["brand"] is None or (row["price"] or 0) > 7,
}
TEXT = st.sampled_from(sorted(CONDITIONS))
SCOPES = st.fixed_dictionaries(
    {},
    optional={
        "surfaces": st.lists(st.sampled_from(SURFACES), max_size=5),
        "tiers": st.lists(st.sampled_from(["light", "medium", "heavy"]), max_size=2),
        "segments": st.sampled_from([{"plan": "gold"}, {"plan": ["gold", "silver"]}, {"plan": "gold", "age": 30}]),
    },
)
PINS = st.tuples(st.integers(0, 17), st.integers(1, 9)).map(
    lambda pin: {"pin": {"item_id": f"i{pin[0]}", "slot": pin[1]}}
)
CAPS = st.fixed_dictionaries({"attribute": st.sampled_from(["category", "brand"]), "max": st.integers(1, 3)}).map(
    lambda cap: {"cap": cap}
)
SHARES = st.tuples(TEXT, st.integers(0, 10), st.integers(0, 10)).map(
    lambda one: {"share": {"of": one[0], "at_least": min(one[1:]) / 10, "at_most": max(one[1:]) / 10}}
)
BOOSTS = st.tuples(TEXT, st.floats(-2, 2)).map(lambda one: {"boost": {"of": one[0], "factor": one[1]}})
HIDING = (
    TEXT.map(lambda text: {"include": text})
    | TEXT.map(lambda text: {"exclude": text})
    | st.sampled_from([{"min": 2}, {"max": 6}, {"min": 2, "max": 6}]).map(lambda band: {"price_band": band})
)
SITUATIONS = st.builds(
    Situation,
    surface=st.sampled_from(SURFACES),
    tier=st.sampled_from(["light", "medium", "heavy"]),
    user=st.sampled_from([{}, {"plan": "gold"}, {"plan": "silver", "age": 30}, {"plan": "gold", "age": 30}]),
    now=st.integers(-3, 3).map(lambda hours: NOW + timedelta(hours=hours)),
    k=st.integers(1, 8),
)


@dataclass(frozen=True)
class World:
    """A catalogue, and the same as plain rows."""

    rows: list[dict[str, Any]]
    catalogue: Catalogue

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> "World":
        frame = pd.DataFrame(rows).astype(TYPES)
        return cls(rows, Catalogue.of(frame.assign(item_id=[f"i{number}" for number in range(len(rows))])))

    @classmethod
    def drawn(cls, seed: int, num_items: int) -> "World":
        rng = np.random.default_rng(seed)
        cells: dict[str, list[Any]] = {
            "category": ["a", "b", "c", None],
            "brand": ["own", "other", "other", None],
            "price": [None, *map(float, range(1, 10))],
            "stock": [None, 0.0, 1.0, 2.0, 3.0, 4.0],
            "available_from": [NOW + timedelta(hours=hours) for hours in (-2, -1, 0, 2)] + [None] * 6,
            "available_until": [NOW + timedelta(hours=hours) for hours in (-1, 0, 1, 2)] + [None] * 8,
        }
        return cls.of([{name: one[rng.integers(len(one))] for name, one in cells.items()} for _ in range(num_items)])


WORLDS = st.sampled_from([World.drawn(seed, num_items) for seed, num_items in enumerate((3, 8, 12, 16, 18))])


def rules_of(*rules: dict[str, Any]) -> Rules:
    return Rules.parse(json.dumps({"rules": list(rules)}), "rules.yaml")


def holds(rule: dict[str, Any], situation: Situation) -> bool:
    scope, user = rule.get("scope", {}), situation.user
    segments = {name: one if isinstance(one, list) else [one] for name, one in scope.get("segments", {}).items()}
    return (
        (not scope.get("surfaces") or situation.surface in scope["surfaces"])
        and (not scope.get("tiers") or situation.tier in scope["tiers"])
        and all(user.get(name) in values for name, values in segments.items())
    )


def may_show(row: dict[str, Any], rules: list[dict[str, Any]], situation: Situation) -> bool:
    if row["stock"] == 0 or (row["available_from"] or NOW.min.replace(tzinfo=UTC)) > situation.now:
        return False
    if row["available_until"] is not None and row["available_until"] <= situation.now:
        return False
    for rule in rules:
        band = rule.get("price_band")
        if "include" in rule and not CONDITIONS[rule["include"]](row):
            return False
        if "exclude" in rule and CONDITIONS[rule["exclude"]](row):
            return False
        if band and not (row["price"] is not None and band.get("min", 0) <= row["price"] <= band.get("max", 99)):
            return False
    return True


@st.composite
def orders(draw: st.DrawFn, world: World) -> RankedOrder:
    columns = draw(st.permutations(range(len(world.rows))))[: draw(st.integers(0, len(world.rows)))]
    scores = sorted((draw(st.integers(0, 5)) / 2 for _ in columns), reverse=True)
    return RankedOrder(np.array(columns, np.int64), np.array(scores, float))


def scoped(effects: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(effects, st.just({}) | SCOPES).map(lambda pair: pair[0] | {"scope": pair[1]})
