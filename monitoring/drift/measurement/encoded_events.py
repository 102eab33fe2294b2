"""Events as arrays of codes: which reference user, which known item, which category, when, and worth how much."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.measurement.known_items import KnownItems
from tierrec_core.base.contracts import BoolArray, Event, FloatArray, IntArray
from tierrec_core.data.interactions import from_days, to_days

_PASSIVE = (Event.IMPRESSION, Event.REDEEM)


@dataclass(frozen=True)
class EncodedEvents:
    """N acts of interest; impressions and redemptions are none.

    who: a code for everybody, known or not, [N]
    user: row of the reference user, -1 for others, [N]
    item: row of the catalogue's item, -1 for others, [N]
    label: the item's category among the catalogue's labels, or UNKNOWN or UNSEEN, [N]
    day: days since 1970 UTC, [N]
    money: paid, or else 1, [N]
    """

    who: IntArray
    user: IntArray
    item: IntArray
    label: IntArray
    day: FloatArray
    money: FloatArray

    @classmethod
    def of(cls, events: pd.DataFrame, items: pd.DataFrame, users: pd.Index, catalogue: KnownItems) -> Self:
        """Encode EVENTS in order of time; the order of its rows does not matter to what is measured."""
        events = events[interested(events)]
        who, people = pd.factorize(events["user_id"], sort=True)
        what, things = pd.factorize(events["item_id"], sort=True)
        known = users.get_indexer(pd.Index(people.astype(object)))
        places = catalogue.items.get_indexer(pd.Index(things.astype(object)))
        labels = catalogue.item_labels(things.astype(object), items)
        money = events["value"].astype("Float64").to_numpy(dtype=float, na_value=0.0)
        rows = cls(
            who.astype(np.int32),
            known[who].astype(np.int32),
            places[what].astype(np.int32),
            labels[what].astype(np.int32),
            to_days(events["timestamp"]),
            np.where(money > 0, money, 1.0),
        )
        # one order, since sums of floats hang on it
        return rows.where(np.lexsort((rows.money, what, who, rows.day)))

    def where(self, keep: BoolArray | IntArray) -> Self:
        """Only the rows where keep [N] is true, or these rows in this order."""
        return replace(self, **{name: values[keep] for name, values in vars(self).items()})

    def between(self, start: float, end: float) -> Self:
        """Only the rows from day `start` to before day `end`."""
        return self.where((self.day >= start) & (self.day < end))


def interested(events: pd.DataFrame) -> BoolArray:
    """Which rows of EVENTS are acts of interest, [N]."""
    return ~events["event"].isin(_PASSIVE).to_numpy(dtype=bool)


def within(events: pd.DataFrame, start: float | None, end: float) -> pd.DataFrame:
    """The rows of EVENTS from day `start`, or from the first, to before day `end`."""
    stamps = events["timestamp"]
    keep = stamps < from_days(end)
    return events[keep if start is None else keep & (stamps >= from_days(start))]
