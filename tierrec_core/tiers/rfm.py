"""Recent activity of a user: recency, frequency, money and breadth (RFM; Hughes, 1994)."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from tierrec_core.base.contracts import EVENT_CODES, EVENT_NAMES, Event, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions

FEATURES = ("recency", "frequency", "money", "breadth")
MONEY = FEATURES.index("money")

_PASSIVE = (Event.IMPRESSION, Event.REDEEM)
_INTEREST = tuple(name for name in EVENT_NAMES if name not in _PASSIVE)


@dataclass(frozen=True)
class ActivityFeatures:
    """Recipe of the features, frozen when fitted: the same history has the same numbers for ever.

    window_days: how far back it looks
    events: names of the events that count: purchases, or all acts of interest where a log has no purchases
    worth: typical money of one event with the item, for events whose value is unknown, [I]
    """

    window_days: float
    events: tuple[str, ...]
    worth: FloatArray

    @classmethod
    def fit(cls, history: Interactions, window_days: float) -> Self:
        """Learn what counts and what items usually cost. Where nothing has a price, each event is worth 1."""
        bought = history.filter_events(Event.PURCHASE)
        events = (str(Event.PURCHASE),) if len(bought) else _INTEREST
        paid = bought.where(bought.value > 0)
        money = np.bincount(paid.item, paid.value, minlength=history.num_items)
        count = np.bincount(paid.item, minlength=history.num_items)
        usual = money.sum() / count.sum() if count.any() else 1.0
        return cls(window_days, events, np.where(count > 0, money / np.maximum(count, 1), usual))

    def of(self, history: Interactions) -> FloatArray:
        """Features as of `history.now`, in the order of FEATURES, [U, 4].

        recency: -log(1 + days since the last event), at most the window; frequency: log(1 + sessions);
        money: log(1 + spend), its weight halving every half window; breadth: log(1 + distinct items).
        """
        counts = np.isin(history.event, [EVENT_CODES[name] for name in self.events])
        recent = history.where(counts & (history.age < self.window_days))
        users, user, age = history.num_users, recent.user, recent.age
        last = np.full(users, self.window_days)
        np.minimum.at(last, user, age)
        spend = np.where(recent.value > 0, recent.value, self.worth[recent.item])
        weight = np.exp2(-2 * age / self.window_days)
        return np.column_stack(
            [
                -np.log1p(last),
                np.log1p(_count_distinct(recent, recent.session)),
                np.log1p(np.bincount(user, spend * weight, minlength=users)),
                np.log1p(_count_distinct(recent, recent.item)),
            ]
        )


def _count_distinct(history: Interactions, label: IntArray) -> IntArray:
    """The number of distinct labels each user has, [U]."""
    span = int(label.max(initial=0)) + 1
    # np.unique hashes, which takes four times as long here as sorting
    pairs = np.sort(history.user.astype(np.int64) * span + label)
    distinct = pairs[np.diff(pairs, prepend=-1) > 0]
    return np.bincount(distinct // span, minlength=history.num_users)
