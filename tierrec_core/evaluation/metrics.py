"""Accuracy metrics per user (Järvelin & Kekäläinen, TOIS 2002), and catalogue coverage."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import EmptyDataError

METRICS = ("ndcg", "recall", "mrr", "hit")


@dataclass(frozen=True)
class Truth:
    """Ground truth: the distinct relevant (user, item) pairs of U users and I items.

    user, item: row and column of each pair, in order of (user, item), [P]
    """

    user: IntArray
    item: IntArray
    num_items: int

    @classmethod
    def of(cls, user: IntArray, item: IntArray, num_items: int) -> Self:
        """Sort the pairs and drop duplicates. Raises EmptyDataError when there is none."""
        if len(user) == 0:
            raise EmptyDataError(
                "evaluation: the truth has no (user, item) pair, wanted at least one; "
                "raise tasks.*.horizon_days or move split.by.cut back"
            )
        code = np.unique(np.asarray(user, dtype=np.int64) * num_items + item)
        return cls(code // num_items, code % num_items, num_items)

    @cached_property
    def users(self) -> IntArray:
        """Rows of the E users with a relevant item, over whom metrics are averaged, [E]."""
        return np.unique(self.user)

    @cached_property
    def num_relevant(self) -> IntArray:
        """Number of relevant items of each user of `users`, [E]."""
        return np.unique(self.user, return_counts=True)[1]

    def hits(self, items: IntArray) -> BoolArray:
        """Where the lists [U, L] of all users have a relevant item, for the users with a truth, [E, L]."""
        shown = items[self.users].astype(np.int64)
        code = self.users[:, None].astype(np.int64) * self.num_items + shown
        return np.isin(code, self.user * self.num_items + self.item) & (shown >= 0)


def per_user(items: IntArray, truth: Truth, k: int) -> dict[str, FloatArray]:
    """Each of METRICS at k for each user with a truth, [E]; lists [U, L] are item columns, -1 where empty.

    ndcg: binary gain, ideal cut at min(k, relevant items)
    recall: share of the relevant items in the list
    mrr: 1 / rank of the first relevant item; hit: 1 if there is one
    """
    hits = truth.hits(items)[:, :k].astype(np.float64)
    ranks = np.arange(1, hits.shape[1] + 1)
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))[np.minimum(truth.num_relevant, k) - 1]
    return {
        "ndcg": hits @ (1.0 / np.log2(ranks + 1)) / ideal,
        "recall": hits.sum(axis=1) / truth.num_relevant,
        "mrr": (hits / ranks).max(axis=1, initial=0.0),
        "hit": hits.max(axis=1, initial=0.0),
    }


def coverage(items: IntArray, num_items: int, k: int) -> float:
    """Share of the catalogue that appears in the first k of the lists [U, L]."""
    shown = items[:, :k]
    return len(np.unique(shown[shown >= 0])) / num_items
