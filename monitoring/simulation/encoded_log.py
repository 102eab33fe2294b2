"""A log as integer codes, which is what changes of it are drawn on."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, Event, FloatArray, IntArray
from tierrec_core.data.interactions import to_days

_PASSIVE = (Event.IMPRESSION, Event.REDEEM)


@dataclass(frozen=True)
class EncodedLog:
    """Who, in which category and when, a row of EVENTS.

    users, categories: ids and names behind the codes, [U] and [C]
    user: [N]; category: -1 for impressions, redemptions and items without one, [N]; day: days since 1970 UTC, [N]
    """

    users: pd.Index
    categories: pd.Index
    user: IntArray
    category: IntArray
    day: FloatArray

    @classmethod
    def of(cls, events: pd.DataFrame, items: pd.DataFrame) -> Self:
        """Encode a frame; codes follow the order of the ids, so that the order of rows does not matter to them."""
        user, users = pd.factorize(events["user_id"], sort=True)
        item, things = pd.factorize(events["item_id"])
        kind = items.drop_duplicates("item_id").set_index("item_id")["category"].reindex(pd.Index(things))
        label, categories = pd.factorize(kind.astype(object), sort=True)
        category = label[item]
        category[events["event"].isin(_PASSIVE).to_numpy(dtype=bool)] = -1
        return cls(
            pd.Index(users, dtype=object),
            pd.Index(categories, dtype=object),
            user.astype(np.int64),
            category.astype(np.int64),
            to_days(events["timestamp"]),
        )

    def counts(self, chosen: BoolArray) -> IntArray:
        """Events of the chosen rows [N] by user and category, [U, C]."""
        keep = chosen & (self.category >= 0)
        cell = self.user[keep] * len(self.categories) + self.category[keep]
        size = len(self.users) * len(self.categories)
        return np.bincount(cell, minlength=size).reshape(len(self.users), len(self.categories))

    def drawn(self, categories: IntArray, among: BoolArray, rng: np.random.Generator) -> IntArray:
        """For each category a row of it among those given [N]: its item is drawn as often as it was met, [M]."""
        pool = np.flatnonzero(among & (self.category >= 0))
        pool = pool[np.argsort(self.category[pool], kind="stable")]
        edges = np.searchsorted(self.category[pool], np.arange(len(self.categories) + 1))
        size = np.diff(edges)[categories]
        place = edges[:-1][categories] + np.floor(rng.random(len(categories)) * size).astype(np.int64)
        chosen: IntArray = pool[place]
        return chosen
