"""What the champion knows: its items, the categories that are told apart, and a vector for each item."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.tiers import Tiering

OTHER = "other"
UNKNOWN, UNSEEN = -1, -2  # labels of an item without a category, and of one whose category nobody had met
_RANK = 16


@dataclass(frozen=True)
class KnownItems:
    """The items and categories of the log before the cut; it does not learn of later ones.

    items: ids of the items that the champion can recommend, [I]
    labels: every category met before the cut, [L]
    group: the category of `names` that stands for each label, [L]
    names: the categories told apart, those with most events first, and last "other", [C]
    basis: what the labels are: category, brand, or layer where ITEMS says neither
    layer: label of each item where the basis is layer, [I]; else empty
    vectors: items by who met them, truncated SVD of the log of counts, [I, D]
    """

    items: pd.Index
    labels: tuple[str, ...]
    group: IntArray
    names: tuple[str, ...]
    basis: str
    layer: IntArray
    vectors: FloatArray

    @classmethod
    def fit(
        cls, met: pd.Series, items: pd.DataFrame, tiering: Tiering, history: Interactions, num_categories: int
    ) -> Self:
        """Learn from the item of each event before the cut, [N], and from ITEMS."""
        basis = _basis(items[items["item_id"].isin(met.unique())])
        if basis == "layer":
            labels, layer = tiering.layers.names, tiering.layers.content.astype(np.int32)
            count = np.bincount(layer[history.item], minlength=len(labels))
        else:
            kind = items.set_index("item_id")[basis]
            size = met.value_counts()
            events = pd.Series(size.to_numpy(), kind.reindex(size.index).array).groupby(level=0).sum()
            labels, layer = tuple(sorted(map(str, events.index))), np.empty(0, np.int32)
            count = events.reindex(pd.Index(labels)).to_numpy()
        group, names = _told_apart(labels, count, num_categories)
        return cls(history.items, labels, group, names, basis, layer, _vectors(history))

    @property
    def named(self) -> IntArray:
        """The label of each of the names but the last, [C - 1]."""
        order = np.argsort(self.group, kind="stable")
        return order[: len(self.names) - 1]

    def item_labels(self, item_ids: Sequence[str] | pd.Index, items: pd.DataFrame) -> IntArray:
        """Label of each item, UNKNOWN where ITEMS does not say, UNSEEN where it names one that nobody had met, [M]."""
        wanted = pd.Index(item_ids)
        if self.basis == "layer":
            place = self.items.get_indexer(wanted)
            return np.where(place >= 0, self.layer[place], UNKNOWN).astype(np.int32)
        kind = items.drop_duplicates("item_id").set_index("item_id")[self.basis].reindex(wanted)
        code = pd.Index(self.labels, dtype=object).get_indexer(pd.Index(kind.astype(object)))
        code[(code < 0) & kind.notna().to_numpy(dtype=bool)] = UNSEEN
        return code.astype(np.int32)


def _basis(items: pd.DataFrame) -> str:
    """The first attribute that tells these items apart."""
    for basis in ("category", "brand"):
        if basis in items and items[basis].nunique() > 1:
            return basis
    return "layer"


def _told_apart(
    labels: Sequence[str], count: IntArray, num_categories: int
) -> tuple[IntArray, tuple[str, ...]]:
    """Group of each label, and the groups' names: the labels with most events, and all others."""
    order = np.argsort(-count, kind="stable")[:num_categories]
    group = np.full(len(labels), len(order), np.int32)
    group[order] = np.arange(len(order))
    return group, (*(labels[label] for label in order), OTHER)


def _vectors(history: Interactions) -> FloatArray:
    """Factors of the items, each dimension scaled to variance 1 over the events of the history, [I, D] float32."""
    counts = history.matrix()
    counts.data = np.log1p(counts.data)
    rank = max(1, min(_RANK, history.num_items - 1, history.num_users - 1))
    with threadpool_limits(1, "blas"):
        svd = TruncatedSVD(rank, random_state=0).fit(normalize(counts))
    vectors = svd.components_.T
    popularity = np.bincount(history.item, minlength=history.num_items) / max(len(history), 1)
    mean = popularity @ vectors
    spread = np.sqrt(popularity @ (vectors - mean) ** 2)
    scaled: FloatArray = ((vectors - mean) / np.maximum(spread, 1e-12)).astype(np.float32)
    return scaled
