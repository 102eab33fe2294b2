"""Statistics of a window's raw rows, before cleaning, that broken feeds and bots change."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.feed.feed_log import is_interaction
from monitoring.drift.measurement.known_items import UNKNOWN, KnownItems
from tierrec_core.base.contracts import FloatArray, IntArray

_TOP_ITEMS = 10
_RATE_QUANTILE = 0.9999
_RATE_FACTOR = 2.0
_MIN_RATE_LIMIT = 30.0


@dataclass(frozen=True)
class RawStats:
    """Statistics of the raw EVENTS of one window.

    daily: rows per day, [D]
    daily_unlabelled, daily_duplicates: of these, interactions with items without a category, and repeated rows, [D]
    event_counts: rows by event name
    top_user, top_share: the most active user, and the share of rows by that user
    rate_limit: plausible upper bound on the rows of one user in one day
    fast_users, fast_share: users over the reference window's rate limit, and their share of the rows
    new_users, new_share: users who are not in the reference, and their share of the rows
    new_concentration, known_concentration: share of the new (known) users' rows on their ten most frequent items
    """

    daily: IntArray
    daily_unlabelled: IntArray
    daily_duplicates: IntArray
    event_counts: dict[str, int]
    top_user: str
    top_share: float
    num_users: int
    num_events: int
    rate_limit: float
    fast_users: int
    fast_share: float
    new_users: int
    new_share: float
    new_concentration: float
    known_concentration: float

    @classmethod
    def of(
        cls,
        events: pd.DataFrame,
        items: pd.DataFrame,
        known_items: KnownItems,
        users: pd.Index,
        start: float,
        end: float,
        rate_limit: float | None,
    ) -> Self:
        """Measure the window's rows; without a rate limit, compute it from this window."""
        num_days = max(int(np.ceil(end - start)), 1)
        day = np.floor(events["timestamp"].astype("int64").to_numpy() / 1e6 / 86_400 - start).astype(np.int64)
        user, user_ids = pd.factorize(events["user_id"], sort=True)
        item, item_ids = pd.factorize(events["item_id"], sort=True)
        no_label = known_items.item_labels(item_ids.astype(object), items)[item] == UNKNOWN
        unlabelled = no_label & is_interaction(events)
        duplicated = events.duplicated().to_numpy(dtype=bool)
        user_rows = np.bincount(user, minlength=len(user_ids))
        known = (users.get_indexer(pd.Index(user_ids.astype(object))) >= 0)[user]
        user_day = user.astype(np.int64) * num_days + np.clip(day, 0, num_days - 1)
        user_day_rows = np.bincount(user_day, minlength=len(user_ids) * num_days)
        limit = _rate_limit(user_day_rows) if rate_limit is None else rate_limit
        fast = user_day_rows.reshape(len(user_ids), num_days).max(axis=1, initial=0) > limit
        size = max(len(events), 1)
        return cls(
            daily=np.bincount(day, minlength=num_days),
            daily_unlabelled=np.bincount(day[unlabelled], minlength=num_days),
            daily_duplicates=np.bincount(day[duplicated], minlength=num_days),
            event_counts={str(name): int(n) for name, n in sorted(events["event"].value_counts().items())},
            top_user=str(user_ids[int(user_rows.argmax())]) if len(user_ids) else "",
            top_share=float(user_rows.max(initial=0) / size),
            num_users=len(user_ids),
            num_events=len(events),
            rate_limit=limit,
            fast_users=int(fast.sum()),
            fast_share=float(user_rows[fast].sum() / size),
            new_users=len(np.unique(user[~known])),
            new_share=float((~known).sum() / size),
            new_concentration=_concentration(item[~known]),
            known_concentration=_concentration(item[known]),
        )

    def share(self, daily_count: IntArray) -> float:
        """A daily count [D] as a share of all rows."""
        return float(daily_count.sum() / max(self.num_events, 1))

    def share_deviation(self, daily_count: IntArray) -> float:
        """Standard deviation over days of a daily count [D] as a share of the day's rows."""
        active = self.daily > 0
        shares: FloatArray = daily_count[active] / self.daily[active]
        return float(shares.std()) if active.any() else 0.0


def _rate_limit(user_day_rows: IntArray) -> float:
    active = user_day_rows[user_day_rows > 0]
    typical = float(np.quantile(active, _RATE_QUANTILE)) if len(active) else 0.0
    return max(_RATE_FACTOR * typical, _MIN_RATE_LIMIT)


def _concentration(item: IntArray) -> float:
    """Share of rows [N] on the ten most frequent items."""
    count = np.sort(np.bincount(item))[::-1]
    return float(count[:_TOP_ITEMS].sum() / max(count.sum(), 1))
