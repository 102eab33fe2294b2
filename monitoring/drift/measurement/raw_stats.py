"""How the raw rows of one window look, before anything was cleaned: what a broken feed and bots change."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.measurement.encoded_events import interested
from monitoring.drift.measurement.known_items import UNKNOWN, KnownItems
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

_FOCUS_ITEMS = 10
_PACE_QUANTILE = 0.9999
_PACE_FACTOR = 2.0
_PACE_LEAST = 30.0


@dataclass(frozen=True)
class RawStats:
    """The raw EVENTS of one window.

    daily: rows of each day, [D]; unknown, duplicates: of these, acts on items without a category, and rows that were
        met before, [D]
    kinds: rows by kind of event
    top_user, top_share: who did most, and their share of the rows
    num_users, num_events: people and rows
    pace: most rows that any person of the reference can be believed to make in a day
    fast_users, fast_share: people who went beyond the pace of the reference, and their share of the rows
    new_users, new_share: people whom the reference does not have, and their share of the rows
    new_focus, known_focus: share of the new people's rows that falls on their ten commonest items, and of the known
    """

    daily: IntArray
    unknown: IntArray
    duplicates: IntArray
    kinds: dict[str, int]
    top_user: str
    top_share: float
    num_users: int
    num_events: int
    pace: float
    fast_users: int
    fast_share: float
    new_users: int
    new_share: float
    new_focus: float
    known_focus: float

    @classmethod
    def of(
        cls,
        events: pd.DataFrame,
        items: pd.DataFrame,
        catalogue: KnownItems,
        users: pd.Index,
        start: float,
        end: float,
        pace: float | None,
    ) -> Self:
        """Measure the window's rows; without a pace it is that of this window itself."""
        days = max(int(np.ceil(end - start)), 1)
        day = np.floor(events["timestamp"].astype("int64").to_numpy() / 1e6 / 86_400 - start).astype(np.int64)
        who, people = pd.factorize(events["user_id"], sort=True)
        what, things = pd.factorize(events["item_id"], sort=True)
        no_category = (catalogue.item_labels(things.astype(object), items)[what] == UNKNOWN) & interested(
            events
        )
        again = events.duplicated().to_numpy(dtype=bool)
        by_user = np.bincount(who, minlength=len(people))
        known = (users.get_indexer(pd.Index(people.astype(object))) >= 0)[who]
        a_day = np.bincount(
            who.astype(np.int64) * days + np.clip(day, 0, days - 1), minlength=len(people) * days
        )
        limit = _pace(a_day) if pace is None else pace
        fast = a_day.reshape(len(people), days).max(axis=1, initial=0) > limit
        size = max(len(events), 1)
        return cls(
            daily=np.bincount(day, minlength=days),
            unknown=np.bincount(day[no_category], minlength=days),
            duplicates=np.bincount(day[again], minlength=days),
            kinds={str(kind): int(rows) for kind, rows in sorted(events["event"].value_counts().items())},
            top_user=str(people[int(by_user.argmax())]) if len(people) else "",
            top_share=float(by_user.max(initial=0) / size),
            num_users=len(people),
            num_events=len(events),
            pace=limit,
            fast_users=int(fast.sum()),
            fast_share=float(by_user[fast].sum() / size),
            new_users=len(np.unique(who[~known])),
            new_share=float((~known).sum() / size),
            new_focus=_focus(what, ~known),
            known_focus=_focus(what, known),
        )

    def share(self, count: IntArray) -> float:
        """Share of all rows that a count a day [D] is."""
        return float(count.sum() / max(self.num_events, 1))

    def spread(self, count: IntArray) -> float:
        """Standard deviation from day to day of the share that a count a day [D] is."""
        busy = self.daily > 0
        shares: FloatArray = count[busy] / self.daily[busy]
        return float(shares.std()) if busy.any() else 0.0


def _pace(rows_a_day: IntArray) -> float:
    """Twice what all but one in ten thousand user-days hold."""
    active = rows_a_day[rows_a_day > 0]
    typical = float(np.quantile(active, _PACE_QUANTILE)) if len(active) else 0.0
    return max(_PACE_FACTOR * typical, _PACE_LEAST)


def _focus(item: IntArray, chosen: BoolArray) -> float:
    """Share of the chosen rows that falls on their ten commonest items."""
    count = np.sort(np.bincount(item[chosen]))[::-1]
    return float(count[:_FOCUS_ITEMS].sum() / max(count.sum(), 1))
