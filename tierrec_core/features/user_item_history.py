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

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions

WINDOWS = (14.0, 28.0, 91.0, 364.0)
HALF_LIVES = (7.0, 30.0, 90.0, 180.0)
NEVER = 1000.0  # days; stands for "no event", far beyond any observed interval
_DECAYED = tuple(f"decayed_{half_life:.0f}d" for half_life in HALF_LIVES)
MEASURES = ("count", "quantity", "first_age", "last_age", "gap_square", *_DECAYED)
_FIRST_AGE, _LAST_AGE = MEASURES.index("first_age"), MEASURES.index("last_age")
_NO_EVENTS = np.array([NEVER if name.endswith("_age") else 0.0 for name in MEASURES])
_SAME_VISIT = 0.5  # days; purchases on the same day count as one visit


@dataclass(frozen=True)
class InteractionStats:
    """MEASURES of the R user-group pairs with events, sorted by (user, group); a group may be a single item.

    code: user * num_groups + group, ascending, [R]
    table: MEASURES as rows, and a last column for pairs without events, [M, R + 1]
    """

    code: IntArray
    table: FloatArray
    num_groups: int

    @classmethod
    def of(cls, user: IntArray, group: IntArray, num_groups: int, weights: FloatArray) -> Self:
        """Aggregate the events of each pair, given the user and the group [N] and `_event_weights` of each event."""
        code = user.astype(np.int64) * num_groups + group
        order = np.argsort(code, kind="stable")
        code = code[order]
        is_first = np.ones(len(code), bool)
        is_first[1:] = code[1:] != code[:-1]
        start = np.flatnonzero(is_first)
        table = np.empty((len(MEASURES), len(start) + 1))
        table[:, -1] = _NO_EVENTS
        events = _event_measures(weights, order, is_first)
        np.add.reduceat(events, start, axis=1, out=table[:, :-1])
        table[_FIRST_AGE, :-1] = events[_FIRST_AGE, start]
        table[_LAST_AGE, :-1] = events[_FIRST_AGE, np.roll(start - 1, -1)]
        return cls(code[start], table, num_groups)

    def lookup(self, user: IntArray, group: IntArray, prefix: str) -> dict[str, FloatArray]:
        """MEASURES of any pairs (user [P], group [P]) by prefixed name, [P] each."""
        code = user.astype(np.int64) * self.num_groups + group
        position = np.searchsorted(self.code, code)
        position[np.append(self.code, -1)[position] != code] = len(self.code)
        rows = np.take(self.table, position, axis=1)
        return {f"{prefix}_{name}": row for name, row in zip(MEASURES, rows, strict=True)}


def _event_weights(history: Interactions) -> FloatArray:
    """Quantity, age and the decayed weights of each event, [2 + H, N]."""
    age = history.age
    return np.stack([history.quantity, age, *(np.exp2(-age / half_life) for half_life in HALF_LIVES)])


def _event_measures(weights: FloatArray, order: IntArray, is_first: BoolArray) -> FloatArray:
    """Each event's contribution to MEASURES of its pair, in this order; both ages are those of the event, [M, N]."""
    events = np.empty((len(MEASURES), len(order)))
    # np.take with out= copies first in any other mode than clip.
    np.take(weights[:2], order, axis=1, out=events[1:3], mode="clip")
    np.take(weights[2:], order, axis=1, out=events[5:], mode="clip")
    age, gap = events[_FIRST_AGE], np.zeros(len(order))
    gap[1:] = age[:-1] - age[1:]
    gap[is_first] = 0.0
    np.logical_or(is_first, gap > _SAME_VISIT, out=events[0])
    events[_LAST_AGE] = age
    np.square(gap, out=events[4])
    return events


@dataclass(frozen=True)
class UserItemFeatures:
    """Item statistics as of a snapshot, from which, with a history, the features of pairs are computed.

    facts: statistics of items by feature name, [I]
    groups: the code of each item's category, brand, ..., by attribute, [I]
    target: names of the events that count as success if the log has other events, else empty
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
        price = items["price"].astype("Float64").to_numpy(dtype=np.float32, na_value=np.nan)
        facts = _item_stats(history) | {"item_price": price}
        for name, code in groups.items():
            events = np.bincount(code, facts["item_events_91d"])[code]
            facts[f"{name}_events_91d"] = events.astype(np.float32)
            trend = np.bincount(code, facts["item_events_28d"])[code] / (events + 1.0)
            facts[f"{name}_trend"] = trend.astype(np.float32)
            facts[f"item_share_of_{name}"] = (facts["item_events_91d"] / (events + 1.0)).astype(np.float32)
        has_other_events = len(history.filter_events(*target)) < len(history)
        return cls(facts, groups, target if has_other_events else ())

    def compute(self, history: Interactions, user: IntArray, item: IntArray) -> dict[str, FloatArray]:
        """Features of the pairs (user [P], item [P]) by name, each [P] float32."""
        weights = _event_weights(history)
        stats = InteractionStats.of(history.user, history.item, history.num_items, weights)
        of_item = stats.lookup(user, item, "item")
        features = of_item | _regularity(of_item)
        if self.target:
            events = history.filter_events(*self.target)
            targets = InteractionStats.of(events.user, events.item, events.num_items, _event_weights(events))
            features |= targets.lookup(user, item, "taken")
        num_items = np.bincount(stats.code // history.num_items, minlength=history.num_users)
        user_stats = _user_stats(history, num_items)
        total = user_stats["user_decayed_90d"][user] + 0.01
        for name, code in self.groups.items():
            group_stats = InteractionStats.of(history.user, code[history.item], int(code.max()) + 1, weights)
            features |= group_stats.lookup(user, code[item], name)
            features[f"item_in_{name}"] = of_item["item_decayed_90d"] / (features[f"{name}_decayed_90d"] + 0.01)
        for name in self.groups:
            features[f"{name}_share"] = features[f"{name}_decayed_90d"] / total
        features["item_per_visit"] = of_item["item_count"] / (user_stats["user_visits"][user] + 1.0)
        features |= {name: column[user] for name, column in user_stats.items()}
        item_stats = dict(zip(self.facts, self._fact_table[:, item], strict=True))
        return {name: column.astype(np.float32) for name, column in features.items()} | item_stats

    @cached_property
    def _fact_table(self) -> FloatArray:
        """All item statistics in order, [K, I] float32; one lookup is faster than one per statistic."""
        return np.stack([np.asarray(column, np.float32) for column in self.facts.values()])


def _regularity(stats: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Regularity of the user's purchases of the item, and how overdue the next one is, [P] each."""
    gaps = np.maximum(stats["item_count"] - 1.0, 0.0)
    interval = np.where(gaps > 0, (stats["item_first_age"] - stats["item_last_age"]) / np.maximum(gaps, 1.0), NEVER)
    variance = np.maximum(stats["item_gap_square"] / np.maximum(gaps, 1.0) - interval**2, 0.0)
    return {
        "interval": interval,
        "interval_spread": np.where(gaps > 1, np.sqrt(variance), NEVER),
        "overdue": np.where(gaps > 0, stats["item_last_age"] / np.maximum(interval, 0.5), -1.0),
        "rate": stats["item_count"] / (stats["item_first_age"] + 7.0),
        "rate_from_last": gaps / (stats["item_first_age"] - stats["item_last_age"] + 14.0),
    }


def _user_stats(history: Interactions, items: IntArray) -> dict[str, FloatArray]:
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


def _item_stats(history: Interactions) -> dict[str, FloatArray]:
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
    """A code for each distinct value; missing values share one code."""
    return pd.factorize(column.astype("string").fillna("unknown").astype(str), sort=True)[0].astype(np.int64)
