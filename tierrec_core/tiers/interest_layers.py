"""Interest layers: groups of categories that the same users buy, each user's share in them, each item's lift.

An item's layer by raw purchase rate is nearly always the biggest layer; lift divides that size out (Brin
et al., SIGMOD 1997).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from tierrec_core.base.contracts import EVENT_CODES, Event, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions

UNKNOWN = "unknown"
_USER_SMOOTHING = 5.0
_ITEM_SMOOTHING = 100.0
_RANK = 32
_NAME_PARTS = 3


@dataclass(frozen=True)
class InterestLayers:
    """J groups of items; an item belongs by what it is (content) and by who buys it (lift).

    basis: what the layers are made of: category, brand or co-occurrence
    names: what a person reads, [J]
    content: layer of each item's category, brand or cluster, [I]
    share: share of all events in each layer, sums to 1, [J]
    lift: how much more the buyers of an item are interested in a layer than everybody, [I, J]
    """

    basis: str
    names: tuple[str, ...]
    content: IntArray
    share: FloatArray
    lift: FloatArray

    @classmethod
    def fit(cls, history: Interactions, items: pd.DataFrame, num_layers: int, rng: np.random.Generator) -> Self:
        """Group the categories of ITEMS (row i = column i), or the brands, or else the items themselves."""
        history = _interested(history)
        basis, label = _labels(history, items, num_layers, rng)
        code, names = pd.factorize(label, sort=True)
        group = _group(history, code, len(names), num_layers, rng)
        content = group[code].astype(np.int32)
        count = np.bincount(content[history.item], minlength=group.max() + 1) + 1.0
        share = count / count.sum()
        readable = _readable(names, code, group, history)
        interests = _shares(history, content, share)
        return cls(basis, readable, content, share, _lift(history, interests, code, share))

    def interests(self, history: Interactions) -> FloatArray:
        """P_u: share of a user's events in each layer, [U, J], shrunk towards the overall share.

        Rows sum to 1; an empty history has exactly the overall shares.
        """
        return _shares(_interested(history), self.content, self.share)

    def describe(self, interests: FloatArray, count: int = 3) -> tuple[str, ...]:
        """P_u [U, J] in words: each user's `count` biggest layers, as `42% Frozen pizza + ..., 17% ...`."""
        return self._in_words(interests, count, "{:.0%} {}")

    def describe_items(self, columns: IntArray, count: int = 2) -> tuple[str, ...]:
        """Q_i in words for item columns [C]: the `count` layers of highest lift, as `1.8x Baby foods + ..., ...`."""
        return self._in_words(self.lift[columns], count, "{:.1f}x {}")

    def _in_words(self, values: FloatArray, count: int, form: str) -> tuple[str, ...]:
        order = np.argsort(-values, axis=1, kind="stable")[:, :count]
        return tuple(
            ", ".join(form.format(row[layer], self.names[layer]) for layer in chosen)
            for row, chosen in zip(values, order, strict=True)
        )


def _interested(history: Interactions) -> Interactions:
    passive = [EVENT_CODES[Event.IMPRESSION], EVENT_CODES[Event.REDEEM]]
    return history.where(~np.isin(history.event, passive))


def _labels(
    history: Interactions, items: pd.DataFrame, num_layers: int, rng: np.random.Generator
) -> tuple[str, pd.Series]:
    """What each item is, [I], from the first attribute that tells items apart."""
    for basis in ("category", "brand"):
        label = items[basis].fillna(UNKNOWN).astype(str).reset_index(drop=True)
        if label.nunique() > 1:
            return basis, label
    return "co-occurrence", _cooccurrence(history, num_layers, rng)


def _cooccurrence(history: Interactions, num_layers: int, rng: np.random.Generator) -> pd.Series:
    """Clusters of items that the same users buy, each named by its most bought item."""
    seed = int(rng.integers(2**31))
    met = history.binary_matrix()
    size = max(1, min(_RANK, *met.shape) - 1)
    vectors = TruncatedSVD(size, random_state=seed).fit_transform(met.T)
    vectors = normalize(vectors)
    count = min(num_layers, len(np.unique(vectors.round(6), axis=0)))
    cluster = _consecutive(KMeans(count, n_init=4, random_state=seed).fit_predict(vectors))
    popular = np.bincount(history.item, minlength=history.num_items)
    first = [np.flatnonzero(cluster == one)[popular[cluster == one].argmax()] for one in range(cluster.max() + 1)]
    return pd.Series(history.items[first].to_numpy()[cluster])


def _group(
    history: Interactions, code: IntArray, num_labels: int, num_layers: int, rng: np.random.Generator
) -> IntArray:
    """The layer of each label, [L]: labels among which the same users share their events lie together.

    Spherical k-means in Hellinger space, where the square root keeps a few large baskets from deciding.
    """
    if num_labels <= num_layers:
        return np.arange(num_labels)
    counts = history.matrix() @ _onto(code, num_labels)
    size = np.asarray(counts.sum(axis=0)).ravel()
    shares = normalize(counts, norm="l1").sqrt().toarray()
    profiles = normalize((shares - shares.mean(axis=0)).T)
    seed = int(rng.integers(2**31))
    rank = max(1, min(_RANK, *profiles.shape) - 1)
    vectors = TruncatedSVD(rank, random_state=seed).fit_transform(profiles)
    weight = np.sqrt(size + 1.0)
    return _consecutive(KMeans(num_layers, n_init=10, random_state=seed).fit(vectors, sample_weight=weight).labels_)


def _consecutive(label: IntArray) -> IntArray:
    """Labels 0 to n - 1 in order of first appearance, so that none is empty."""
    return pd.factorize(label)[0]


def _onto(code: IntArray, num_labels: int) -> sparse.csr_matrix:
    """1 where item i has label l, [I, L]."""
    rows = np.arange(len(code))
    return sparse.csr_matrix((np.ones(len(code), np.float32), (rows, code)), shape=(len(code), num_labels))


def _readable(names: pd.Index, code: IntArray, group: IntArray, history: Interactions) -> tuple[str, ...]:
    """Each layer's most bought labels; those all in capitals are brought to a sentence's letters."""
    count = np.bincount(code[history.item], minlength=len(names))
    order = np.argsort(-count, kind="stable")
    members = [order[group[order] == layer] for layer in range(group.max() + 1)]
    words = [name.capitalize() if name.isupper() else name for name in map(str, names)]
    return tuple(" + ".join(words[one] for one in labels[:_NAME_PARTS]) for labels in members)


def _shares(history: Interactions, layer: IntArray, share: FloatArray) -> FloatArray:
    """Share of each user's events in each layer, shrunk towards the overall share, [U, J]."""
    cell = history.user.astype(np.int64) * len(share) + layer[history.item]
    count = np.bincount(cell, minlength=history.num_users * len(share)).reshape(-1, len(share))
    mixed = count + _USER_SMOOTHING * share
    shares: FloatArray = mixed / mixed.sum(axis=1, keepdims=True)
    return shares


def _lift(history: Interactions, interests: FloatArray, code: IntArray, share: FloatArray) -> FloatArray:
    """Q_ij / share_j, with Q_i the mean interest of the item's buyers, shrunk towards that of its label, [I, J]."""
    buyers = history.binary_matrix()
    total, count = buyers.T @ interests, np.asarray(buyers.sum(axis=0)).ravel()
    onto = _onto(code, int(code.max()) + 1)
    label = (onto.T @ total + share) / (onto.T @ count + 1)[:, None]
    rate: FloatArray = (total + _ITEM_SMOOTHING * label[code]) / (count + _ITEM_SMOOTHING)[:, None]
    return rate / share
