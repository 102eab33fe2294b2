"""A log as integer codes, from which synthetic changes are sampled."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.measurement.encoded_events import is_interaction
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import to_days


@dataclass(frozen=True)
class EncodedLog:
    """User, category and time of each row of EVENTS.

    users, categories: ids and names of the codes, [U] and [C]
    user: [N]; category: -1 for impressions, redemptions and items without one, [N]; day: days since 1970 UTC, [N]
    """

    users: pd.Index
    categories: pd.Index
    user: IntArray
    category: IntArray
    day: FloatArray

    @classmethod
    def of(cls, events: pd.DataFrame, items: pd.DataFrame) -> Self:
        """Encode EVENTS; codes follow the order of the ids and do not depend on the order of the rows."""
        user, users = pd.factorize(events["user_id"], sort=True)
        item, item_ids = pd.factorize(events["item_id"])
        category_of = items.drop_duplicates("item_id").set_index("item_id")["category"]
        label, categories = pd.factorize(category_of.reindex(pd.Index(item_ids)).astype(object), sort=True)
        category = label[item]
        category[~is_interaction(events)] = -1
        return cls(
            pd.Index(users, dtype=object),
            pd.Index(categories, dtype=object),
            user.astype(np.int64),
            category.astype(np.int64),
            to_days(events["timestamp"]),
        )

    def counts(self, mask: BoolArray) -> IntArray:
        """Events of the masked rows [N] by user and category, [U, C]."""
        keep = mask & (self.category >= 0)
        cell = self.user[keep] * len(self.categories) + self.category[keep]
        size = len(self.users) * len(self.categories)
        return np.bincount(cell, minlength=size).reshape(len(self.users), len(self.categories))

    def sample_rows(self, categories: IntArray, mask: BoolArray, rng: np.random.Generator) -> IntArray:
        """Sample a masked row [N] of each category [M], so that items are drawn in proportion to their events, [M]."""
        pool = np.flatnonzero(mask & (self.category >= 0))
        pool = pool[np.argsort(self.category[pool], kind="stable")]
        edges = np.searchsorted(self.category[pool], np.arange(len(self.categories) + 1))
        size = np.diff(edges)[categories]
        offset = edges[:-1][categories] + np.floor(rng.random(len(categories)) * size).astype(np.int64)
        rows: IntArray = pool[offset]
        return rows


def basket_codes(events: pd.DataFrame) -> tuple[IntArray, IntArray]:
    """Basket of each row, [N], and user code of each basket, [B]; without a session, a user's day is a basket."""
    user, _ = pd.factorize(events["user_id"], sort=True)
    session, _ = pd.factorize(events["session_id"])
    day = events["timestamp"].dt.floor("D").astype("int64").to_numpy()
    visit = np.where(session >= 0, session, -1 - pd.factorize(day)[0])
    baskets, basket = np.unique(np.stack([user, visit], axis=1), axis=0, return_inverse=True)
    return basket.ravel(), baskets[:, 0]


def add_seconds(timestamps: pd.Series, seconds: FloatArray | IntArray) -> pd.Series:
    """Shift timestamps, keeping their resolution."""
    return (timestamps + pd.to_timedelta(seconds, unit="s")).astype(timestamps.dtype)
