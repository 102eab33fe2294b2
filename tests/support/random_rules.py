"""Rules, reviews and requests at random, and what each says of an item when it is asked item by item."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from services.experiments import Experiments
from services.rules import Rules
from services.rules.review import Review
from services.tenants.configuration import Configuration
from tests.support.open_shops import COUPONS, SURFACES

ITEMS = {
    f"i{number:02d}": {
        "item_id": f"i{number:02d}",
        "category": f"group {number // 10}",
        "brand": f"brand {number % 3}",
        "price": 1.0 + number,
    }
    for number in range(40)
}
NEW = {
    f"new{number}": {
        "item_id": f"new{number}",
        "category": f"group {number % 4}",
        "brand": "brand 9",
        "price": 2.0 * number,
    }
    for number in range(4)
}
CAMPAIGNS = {name: {"item_id": name, "category": None, "brand": None, "price": None} for name in COUPONS}
GOODS: dict[str, dict[str, Any]] = {**ITEMS, **NEW, **CAMPAIGNS}


@dataclass(frozen=True)
class Said:
    """A condition as rules spell it, and as Python does; of what is not known neither holds."""

    text: str
    holds: Callable[[Mapping[str, Any]], bool]


def below(limit: float) -> Said:
    return Said(f"price < {limit}", lambda item: item["price"] is not None and item["price"] < limit)


def among(name: str, values: list[str]) -> Said:
    listed = ", ".join(f"'{value}'" for value in values)
    return Said(f"{name} in ({listed})", lambda item: item[name] in values)


conditions = st.one_of(
    st.floats(0, 45, allow_nan=False).map(lambda limit: below(round(limit, 1))),
    st.lists(st.sampled_from([f"group {number}" for number in range(4)]), min_size=1, max_size=3).map(
        lambda values: among("category", values)
    ),
    st.lists(st.sampled_from(["brand 0", "brand 1", "brand 9"]), min_size=1, max_size=2).map(
        lambda values: among("brand", values)
    ),
    st.lists(st.sampled_from(sorted(GOODS)), min_size=1, max_size=6).map(lambda values: among("item_id", values)),
)
some_ids = st.lists(st.sampled_from(sorted(GOODS)), max_size=5)
scopes = st.fixed_dictionaries(
    {},
    optional={
        "surfaces": st.lists(st.sampled_from(SURFACES), min_size=1, max_size=3),
        "tiers": st.lists(st.sampled_from(["light", "medium", "heavy"]), min_size=1, max_size=2),
    },
)
hiding = st.tuples(scopes, st.sampled_from(["include", "exclude"]), conditions)
moving = st.one_of(
    st.builds(
        lambda item, slot: {"pin": {"item_id": item, "slot": slot}}, st.sampled_from(sorted(GOODS)), st.integers(1, 6)
    ),
    st.builds(lambda said, factor: {"boost": {"of": said.text, "factor": factor}}, conditions, st.integers(-3, 3)),
    st.builds(lambda said: {"share": {"of": said.text, "at_least": 0.3}}, conditions),
    st.just({"cap": {"attribute": "category", "max": 4}}),
)


@dataclass(frozen=True)
class Wishes:
    """What people have configured, and what a request asks for."""

    hiding: list[tuple[dict[str, Any], str, Said]]
    moving: list[dict[str, Any]]
    blocked: list[str]
    categories: list[str]
    approval: Said | None
    approved: list[str]
    exclude: list[str]
    filter: Said | None

    def configuration(self) -> Configuration:
        rules = [{"scope": scope, effect: said.text} for scope, effect, said in self.hiding] + self.moving
        review: dict[str, Any] = {"blocked": self.blocked, "blocked_categories": self.categories}
        if self.approval is not None:
            review["approval"] = {"required_for": self.approval.text, "approved": self.approved}
        parsed = Rules.model_validate({"rules": rules}), Review.model_validate(review)
        return Configuration(*parsed, Experiments({}))

    def may_show(self, item: Mapping[str, Any], surface: str, tier: str) -> bool:
        """Worked out anew, item by item."""
        for scope, effect, said in self.hiding:
            here = surface in scope.get("surfaces", [surface]) and tier in scope.get("tiers", [tier])
            if here and said.holds(item) != (effect == "include"):
                return False
        waits = self.approval is not None and self.approval.holds(item)
        return not (
            item["item_id"] in (*self.blocked, *self.exclude)
            or item["category"] in self.categories
            or (waits and item["item_id"] not in self.approved)
            or (self.filter is not None and not self.filter.holds(item))
        )


wishes = st.builds(
    Wishes,
    hiding=st.lists(hiding, max_size=3),
    moving=st.lists(moving, max_size=2),
    blocked=some_ids,
    categories=st.lists(st.sampled_from(["group 0", "group 3"]), max_size=1),
    approval=st.none() | conditions,
    approved=some_ids,
    exclude=some_ids,
    filter=st.none() | conditions,
)
facts = st.dictionaries(
    st.sampled_from(["i31", "i13", "i10", "new1", "c3"]),
    st.sampled_from(["stock", "no stock", "expired", "not yet", "available"]),
    max_size=2,
)
FACTS: dict[str, dict[str, Any]] = {
    "stock": {"stock": 3},
    "no stock": {"stock": 0},
    "expired": {"available_until": (datetime.now(UTC) - timedelta(minutes=1)).isoformat()},
    "not yet": {"available_from": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
    "available": {"available_until": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
}
WHOLE = {"stock": None, "available_from": None, "available_until": None}
HIDDEN = ("no stock", "expired", "not yet")
