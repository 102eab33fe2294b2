"""Why an item is recommended: the ranker's Shapley values grouped into readable reasons that add up to the score."""

from collections.abc import Mapping

import pandas as pd

OWN_HABIT = "you buy it again and again"
DUE = "it may be due again"
TASTE = "it fits what you usually choose"
PEERS = "people with your taste choose it"
TREND = "many choose it now"
YOU = "how and how often you shop"
START = "where every item starts"

_REASON_BY_PREFIX: Mapping[str, str] = {
    "item_last_age": DUE,
    "item_gap": DUE,
    "interval": DUE,
    "overdue": DUE,
    "rate": DUE,
    "item_events": TREND,
    "item_buyers": TREND,
    "item_trend": TREND,
    "item_repeats": TREND,
    "item_age": TREND,
    "item_price": TREND,
    "item_share_of": TREND,
    "item_quantity": OWN_HABIT,
    "item_count": OWN_HABIT,
    "item_first_age": OWN_HABIT,
    "item_decayed": OWN_HABIT,
    "item_per_visit": OWN_HABIT,
    "item_in_": TASTE,
    "taken_last_age": DUE,
    "taken_gap": DUE,
    "taken_": OWN_HABIT,
    "interest_in_layer": TASTE,
    "user_": YOU,
    "tier": YOU,
    "score_": PEERS,
    "rank_": PEERS,
    "base": START,
}


def reasons(contributions: Mapping[str, float]) -> dict[str, float]:
    """Sum the contributions of features, and of `base`, by reason, largest magnitude first."""
    values = pd.Series(contributions, dtype=float)
    grouped = values.groupby([_reason_of(name) for name in values.index]).sum()
    ordered = grouped.reindex(grouped.abs().sort_values(ascending=False, kind="stable").index)
    return {str(name): float(value) for name, value in ordered.items()}


def _reason_of(feature: str) -> str:
    """The reason of the first matching prefix; affinities to a category, brand or other group count as taste."""
    return next((reason for prefix, reason in _REASON_BY_PREFIX.items() if feature.startswith(prefix)), TASTE)
