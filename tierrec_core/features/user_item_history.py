"""Behaviour features of user-item pairs: frequency, recency, regularity, and how overdue the next purchase is.

They are computed from a history as of its `now` and from item statistics stored with the ranker, so that training and
serving, for known users and new visitors, run the same code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.interaction_stats import MEASURES, NEVER, InteractionStats, WeightedHistory

WINDOWS = (14.0, 28.0, 91.0, 364.0)


@dataclass(frozen=True)
class UserItemFeatures:
    """Item statistics as of a snapshot, from which, with a history, the features of pairs are computed.

    facts: statistics of items by feature name, [I]
    groups: the code of each item's category, brand, ..., by attribute, [I]
    target: names of the events that count as success where the log has others too, else empty
    """

    facts: dict[str, FloatArray]
    groups: dict[str, IntArray]
    target: tuple[str, ...]

    @classmethod
    def fit(
        cls, history: Interactions, items: pd.DataFrame, attributes: Sequence[str], target: tuple[str, ...]
    ) -> Self:
        """Compute item statistics; group items by those attributes that are in the catalogue with several values."""
        groups = {name: _codes(items[name]) for name in attributes if name in items and items[name].nunique() > 1}
        facts = _item_facts(history) | {"item_price": _floats(items["price"])}
        for name, code in groups.items():
            events = np.bincount(code, facts["item_events_91d"])[code]
            facts[f"{name}_events_91d"] = events.astype(np.float32)
            facts[f"{name}_trend"] = (np.bincount(code, facts["item_events_28d"])[code] / (events + 1.0)).astype(
                np.float32
            )
            facts[f"item_share_of_{name}"] = (facts["item_events_91d"] / (events + 1.0)).astype(np.float32)
        has_other_events = len(history.filter_events(*target)) < len(history)
        return cls(facts, groups, target if has_other_events else ())

    def compute(self, history: Interactions, user: IntArray, item: IntArray) -> dict[str, FloatArray]:
        """Features of the pairs (user [P], item [P]) by name, each [P] float32."""
        weighted = WeightedHistory(history)
        stats = InteractionStats.of(weighted, history.item, history.num_items)
        of_item = _by_name(stats.lookup(user, item), "item")
        features = of_item | _regularity(of_item)
        if self.target:
            targets = history.filter_events(*self.target)
            target_stats = InteractionStats.of(WeightedHistory(targets), targets.item, history.num_items)
            features |= _by_name(target_stats.lookup(user, item), "taken")
        user_facts = _user_facts(history, np.bincount(stats.user, minlength=history.num_users))
        total = user_facts["user_decayed_90d"][user] + 0.01
        for name, code in self.groups.items():
            group_stats = InteractionStats.of(weighted, code[history.item], self._group_sizes[name])
            features |= _by_name(group_stats.lookup(user, code[item]), name)
            features[f"item_in_{name}"] = of_item["item_decayed_90d"] / (features[f"{name}_decayed_90d"] + 0.01)
        for name in self.groups:
            features[f"{name}_share"] = features[f"{name}_decayed_90d"] / total
        features["item_per_visit"] = of_item["item_count"] / (user_facts["user_visits"][user] + 1.0)
        features |= {name: column[user] for name, column in user_facts.items()}
        item_facts = dict(zip(self.facts, self._fact_table[:, item], strict=True))
        return {name: column.astype(np.float32) for name, column in features.items()} | item_facts

    @cached_property
    def _fact_table(self) -> FloatArray:
        """All facts in their order, [K, I] float32; one lookup in it is faster than one per fact."""
        return np.stack([np.asarray(column, np.float32) for column in self.facts.values()])

    @cached_property
    def _group_sizes(self) -> dict[str, int]:
        return {name: int(code.max()) + 1 for name, code in self.groups.items()}


def _by_name(measures: FloatArray, prefix: str) -> dict[str, FloatArray]:
    """Rows of MEASURES by feature name, [P] each."""
    return {f"{prefix}_{name}": row for name, row in zip(MEASURES, measures, strict=True)}


def _regularity(own: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Regularity of the user's purchases of the item, and how overdue the next one is, [P] each."""
    gaps = np.maximum(own["item_count"] - 1.0, 0.0)
    interval = np.where(gaps > 0, (own["item_first_age"] - own["item_last_age"]) / np.maximum(gaps, 1.0), NEVER)
    variance = np.maximum(own["item_gap_square"] / np.maximum(gaps, 1.0) - interval**2, 0.0)
    return {
        "interval": interval,
        "interval_spread": np.where(gaps > 1, np.sqrt(variance), NEVER),
        "overdue": np.where(gaps > 0, own["item_last_age"] / np.maximum(interval, 0.5), -1.0),
        "rate": own["item_count"] / (own["item_first_age"] + 7.0),
        "rate_from_last": gaps / (own["item_first_age"] - own["item_last_age"] + 14.0),
    }


def _user_facts(history: Interactions, items: IntArray) -> dict[str, FloatArray]:
    """Statistics of each user, given the number of distinct items of each [U], [U] each."""
    num = history.num_users
    user, age = history.user, history.age
    last = np.full(num, NEVER)
    np.minimum.at(last, user, age)
    oldest = np.zeros(num)
    np.maximum.at(oldest, user, age)
    starts_visit = history.opens_session
    visits = np.bincount(user, starts_visit, num)
    events = np.bincount(user, minlength=num).astype(float)
    return {
        "user_last_age": last,
        "user_tenure": oldest,
        "user_visits": visits,
        "user_visits_28d": np.bincount(user, starts_visit & (age <= 28.0), num),
        "user_basket": events / np.maximum(visits, 1.0),
        "user_items": items.astype(float),
        "user_repeat_share": 1.0 - items / np.maximum(events, 1.0),
        "user_decayed_30d": np.bincount(user, np.exp2(-age / 30.0), num),
        "user_decayed_90d": np.bincount(user, np.exp2(-age / 90.0), num),
    }


def _item_facts(history: Interactions) -> dict[str, FloatArray]:
    """Statistics of each item, [I] each."""
    num, item, age = history.num_items, history.item, history.age
    facts: dict[str, FloatArray | IntArray] = {
        f"item_events_{days:.0f}d": np.bincount(item, age <= days, num) for days in WINDOWS
    }
    buyers = np.bincount(history.unique_pairs()[1], minlength=num)
    recent = history.where(history.age <= 28.0)
    events = np.bincount(item, minlength=num)
    oldest = np.zeros(num)
    np.maximum.at(oldest, item, age)
    facts |= {
        "item_buyers": buyers,
        "item_buyers_28d": np.bincount(recent.unique_pairs()[1], minlength=num),
        "item_trend": (facts["item_events_14d"] + 1.0) / (facts["item_events_91d"] * 14.0 / 91.0 + 1.0),
        "item_trend_28d": (facts["item_events_28d"] + 1.0) / (facts["item_events_91d"] * 28.0 / 91.0 + 1.0),
        "item_repeats": events / np.maximum(buyers, 1),
        "item_age": oldest,
        "item_quantity": np.bincount(item, history.quantity, num) / np.maximum(events, 1),
    }
    return {name: column.astype(np.float32) for name, column in facts.items()}


def _codes(column: pd.Series) -> IntArray:
    """A code for each distinct value; missing is a value of its own."""
    return pd.factorize(column.astype("string").fillna("unknown").astype(str), sort=True)[0].astype(np.int64)


def _floats(column: pd.Series) -> FloatArray:
    """Float column, NaN where missing."""
    return column.astype("Float64").to_numpy(dtype=np.float32, na_value=np.nan)
