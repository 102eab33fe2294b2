"""Why this item: the blend's Shapley values as reasons that a person can read; they add up to the score."""

from collections.abc import Mapping

import pandas as pd

OWN_HABIT = "you buy it again and again"
DUE = "it may be due again"
TASTE = "it fits what you usually choose"
PEERS = "people with your taste choose it"
TREND = "many choose it now"
YOU = "how and how often you shop"
START = "where every item starts"

_PREFIXES: Mapping[str, str] = {
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
    """Contributions of features, and `base`, by reason, strongest first; the sum stays the same."""
    shares = pd.Series(contributions, dtype=float)
    grouped = shares.groupby([reason_of(name) for name in shares.index]).sum()
    ordered = grouped.reindex(grouped.abs().sort_values(ascending=False, kind="stable").index)
    return {str(name): float(share) for name, share in ordered.items()}


def reason_of(feature: str) -> str:
    """The reason that a feature speaks for; affinities to a category, brand or other group are taste."""
    return next((reason for prefix, reason in _PREFIXES.items() if feature.startswith(prefix)), TASTE)
