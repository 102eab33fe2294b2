"""Explains a recommendation: the ranker's Shapley values, summed by readable reason; reasons add up to the score."""

from collections.abc import Mapping

import pandas as pd

HABIT = "you buy it again and again"
DUE = "it may be due again"
TASTE = "it fits what you usually choose"
PEERS = "users with a similar taste choose it"
TREND = "many choose it now"
YOU = "how and how often you shop"
START = "the base score of all items"

_PREFIXES_BY_REASON: Mapping[str, tuple[str, ...]] = {
    DUE: ("item_last_age", "item_gap", "taken_last_age", "taken_gap", "interval", "overdue", "rate"),
    TREND: ("item_events", "item_buyers", "item_trend", "item_repeats", "item_age", "item_price", "item_share_of"),
    HABIT: ("item_quantity", "item_count", "item_first_age", "item_decayed", "item_per_visit", "taken_"),
    YOU: ("user_", "tier"),
    PEERS: ("score_", "rank_"),
    START: ("base",),
}


def reasons(contributions: Mapping[str, float]) -> dict[str, float]:
    """Sum the contributions of features, and of `base`, by reason, largest magnitude first."""
    values = pd.Series(contributions, dtype=float)
    grouped = values.groupby([_reason_of(name) for name in values.index]).sum()
    ordered = grouped.reindex(grouped.abs().sort_values(ascending=False, kind="stable").index)
    return {str(name): float(value) for name, value in ordered.items()}


def _reason_of(feature: str) -> str:
    """The first reason with a matching prefix, else taste: affinities to a category, brand, layer or other group."""
    return next((reason for reason, prefixes in _PREFIXES_BY_REASON.items() if feature.startswith(prefixes)), TASTE)
