"""The items and categories that the champion was trained on, and an embedding of each item."""

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
UNKNOWN, UNSEEN = -1, -2  # labels of an item without a category, and of one whose category was never seen
_RANK = 16


@dataclass(frozen=True)
class KnownItems:
    """Items and categories of the log before the cut; later ones are never added.

    items: ids of the items that the champion can recommend, [I]
    labels: every category seen before the cut, [L]
    group: index into `names` of each label, [L]
    names: the most frequent categories in descending order, then "other" for the rest, [C]
    basis: source of the labels: category, brand, or interest layer where ITEMS has neither
    layer: label of each item where the basis is layer, [I]; else empty
    vectors: item embeddings by truncated SVD of the log counts, [I, D]
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
        cls, event_items: pd.Series, items: pd.DataFrame, tiering: Tiering, history: Interactions, num_categories: int
    ) -> Self:
        """Fit to the item id of each event before the cut, [N], and to ITEMS."""
        basis = _label_basis(items[pd.Index(event_items.unique()).get_indexer(pd.Index(items["item_id"])) >= 0])
        if basis == "layer":
            labels, layer = tiering.layers.names, tiering.layers.content.astype(np.int32)
            count = np.bincount(layer[history.item], minlength=len(labels))
        else:
            label_of = items.set_index("item_id")[basis]
            item_counts = event_items.value_counts()
            item_labels = label_of.reindex(item_counts.index).array
            label_counts = pd.Series(item_counts.to_numpy(), item_labels).groupby(level=0).sum()
            labels, layer = tuple(sorted(map(str, label_counts.index))), np.empty(0, np.int32)
            count = label_counts.reindex(pd.Index(labels)).to_numpy()
        largest = np.argsort(-count, kind="stable")[:num_categories]
        group = np.full(len(labels), len(largest), np.int32)
        group[largest] = np.arange(len(largest))
        names = (*(labels[label] for label in largest), OTHER)
        return cls(history.items, labels, group, names, basis, layer, _item_vectors(history))

    @property
    def named_labels(self) -> IntArray:
        """Label index of each name except "other", [C - 1]."""
        order = np.argsort(self.group, kind="stable")
        return order[: len(self.names) - 1]

    def item_labels(self, item_ids: Sequence[str] | pd.Index, items: pd.DataFrame) -> IntArray:
        """Label of each item: UNKNOWN without a category in ITEMS, UNSEEN for a category new since the cut, [M]."""
        ids = pd.Index(item_ids)
        if self.basis == "layer":
            index = self.items.get_indexer(ids)
            return np.where(index >= 0, self.layer[index], UNKNOWN).astype(np.int32)
        value = items.drop_duplicates("item_id").set_index("item_id")[self.basis].reindex(ids)
        label = pd.Index(self.labels, dtype=object).get_indexer(pd.Index(value.astype(object)))
        label[(label < 0) & value.notna().to_numpy(dtype=bool)] = UNSEEN
        return label.astype(np.int32)


def _label_basis(items: pd.DataFrame) -> str:
    """The first attribute with more than one value."""
    for basis in ("category", "brand"):
        if basis in items and items[basis].nunique() > 1:
            return basis
    return "layer"


def _item_vectors(history: Interactions) -> FloatArray:
    """Item factors, each dimension scaled to variance 1 over the events of the history, [I, D] float32."""
    counts = history.matrix()
    counts.data = np.log1p(counts.data)
    rank = max(1, min(_RANK, history.num_items - 1, history.num_users - 1))
    with threadpool_limits(1, "blas"):
        svd = TruncatedSVD(rank, random_state=0).fit(normalize(counts))
    vectors = svd.components_.T
    popularity = np.bincount(history.item, minlength=history.num_items) / max(len(history), 1)
    mean = popularity @ vectors
    deviation = np.sqrt(popularity @ (vectors - mean) ** 2)
    scaled: FloatArray = ((vectors - mean) / np.maximum(deviation, 1e-12)).astype(np.float32)
    return scaled
