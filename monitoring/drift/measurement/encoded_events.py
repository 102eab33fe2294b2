"""Events as integer codes: reference user, known item, category, time and spend of each row."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.feed.feed_log import is_interaction
from monitoring.drift.measurement.known_items import KnownItems
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import to_days


@dataclass(frozen=True)
class EncodedEvents:
    """N interactions; impressions and redemptions are excluded.

    any_user: a code for every user, in the reference or not, [N]
    user: index of the reference user, -1 for others, [N]
    item: index of the known item, -1 for others, [N]
    label: index of the item's category among the known labels, or UNKNOWN or UNSEEN, [N]
    day: days since 1970 UTC, [N]
    spend: the event's value, 1 where it has none, [N]
    """

    any_user: IntArray
    user: IntArray
    item: IntArray
    label: IntArray
    day: FloatArray
    spend: FloatArray

    @classmethod
    def of(cls, events: pd.DataFrame, items: pd.DataFrame, users: pd.Index, known_items: KnownItems) -> Self:
        """Encode EVENTS and sort by time; the result does not depend on the order of the rows."""
        events = events[is_interaction(events)]
        user, user_ids = pd.factorize(events["user_id"], sort=True)
        item, item_ids = pd.factorize(events["item_id"], sort=True)
        reference_user = users.get_indexer(pd.Index(user_ids.astype(object)))
        known_item = known_items.items.get_indexer(pd.Index(item_ids.astype(object)))
        label = known_items.item_labels(item_ids.astype(object), items)
        value = events["value"].astype("Float64").to_numpy(dtype=float, na_value=0.0)
        encoded = cls(
            user.astype(np.int32),
            reference_user[user].astype(np.int32),
            known_item[item].astype(np.int32),
            label[item].astype(np.int32),
            to_days(events["timestamp"]),
            np.where(value > 0, value, 1.0),
        )
        # a fixed order keeps floating-point sums reproducible
        return encoded.where(np.lexsort((encoded.spend, item, user, encoded.day)))

    def where(self, keep: BoolArray | IntArray) -> Self:
        """Select rows by mask [N] or by index."""
        return replace(self, **{name: values[keep] for name, values in vars(self).items()})

    def between(self, start: float, end: float) -> Self:
        """Select rows from day `start` to before day `end`."""
        return self.where((self.day >= start) & (self.day < end))
