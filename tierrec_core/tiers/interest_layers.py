"""Interest layers: groups of categories that the same users buy, each user's share in them, each item's lift.

By purchase rate, nearly all items would belong to the largest layer; lift divides by the layer's size (Brin et al.,
SIGMOD 1997).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse

from tierrec_core.base.contracts import EVENT_CODES, Event, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions

UNKNOWN = "unknown"
_USER_SMOOTHING = 5.0
_ITEM_SMOOTHING = 100.0
_RANK = 32
_NAME_PARTS = 3


@dataclass(frozen=True)
class InterestLayers:
    """J groups of items.

    basis: category, brand or co-occurrence
    names: the most bought labels of each layer, [J]
    content: layer of each item's category, brand or cluster, [I]
    share: share of all events in each layer, sums to 1, [J]
    lift: interest of the item's buyers in each layer, relative to that of all users, [I, J]
    """

    basis: str
    names: tuple[str, ...]
    content: IntArray
    share: FloatArray
    lift: FloatArray

    @classmethod
    def fit(cls, history: Interactions, items: pd.DataFrame, num_layers: int, rng: np.random.Generator) -> Self:
        """Group the categories of ITEMS (row i = column i), or the brands, or else the items themselves."""
        history = _without_passive(history)
        basis, label = _labels(history, items, num_layers, rng)
        code, names = pd.factorize(label, sort=True)
        group = _group(history, code, len(names), num_layers, rng)
        content = group[code].astype(np.int32)
        count = np.bincount(content[history.item], minlength=group.max() + 1) + 1.0
        share = count / count.sum()
        lift = _lift(history, _shares(history, content, share), code, share)
        return cls(basis, _layer_names(names, code, group, history), content, share, lift)

    def interests(self, history: Interactions) -> FloatArray:
        """P_u: share of a user's events in each layer, [U, J], shrunk to the overall share; rows sum to 1."""
        return _shares(_without_passive(history), self.content, self.share)


def _without_passive(history: Interactions) -> Interactions:
    passive = [EVENT_CODES[Event.IMPRESSION], EVENT_CODES[Event.REDEEM]]
    return history.where(~np.isin(history.event, passive))


def _labels(
    history: Interactions, items: pd.DataFrame, num_layers: int, rng: np.random.Generator
) -> tuple[str, pd.Series]:
    """Label of each item, [I], from the first attribute with more than one value."""
    for basis in ("category", "brand"):
        label = items[basis].fillna(UNKNOWN).astype(str).reset_index(drop=True)
        if label.nunique() > 1:
            return basis, label
    return "co-occurrence", _cooccurrence(history, num_layers, rng)


def _cooccurrence(history: Interactions, num_layers: int, rng: np.random.Generator) -> pd.Series:
    """Clusters of items that the same users buy, each named by its most bought item."""
    from sklearn.cluster import KMeans  # takes a second; most stages only read tiers
    from sklearn.preprocessing import normalize

    seed = int(rng.integers(2**31))
    vectors = normalize(_reduced(history.binary_matrix().T, seed))
    count = min(num_layers, len(np.unique(vectors.round(6), axis=0)))
    cluster = pd.factorize(KMeans(count, n_init=4, random_state=seed).fit_predict(vectors))[0]
    popular = np.bincount(history.item, minlength=history.num_items)
    members = [np.flatnonzero(cluster == index) for index in range(cluster.max() + 1)]
    most_bought = [items[popular[items].argmax()] for items in members]
    return pd.Series(history.items[most_bought].to_numpy()[cluster])


def _group(
    history: Interactions, code: IntArray, num_labels: int, num_layers: int, rng: np.random.Generator
) -> IntArray:
    """Layer of each label, [L]: labels that the same users buy are grouped.

    Spherical k-means in Hellinger space, where the square root limits the influence of large baskets.
    """
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import normalize

    if num_labels <= num_layers:
        return np.arange(num_labels)
    counts = history.matrix() @ _one_hot(code, num_labels)
    size = np.asarray(counts.sum(axis=0)).ravel()
    shares = normalize(counts, norm="l1").sqrt().toarray()
    profiles = normalize((shares - shares.mean(axis=0)).T)
    seed = int(rng.integers(2**31))
    means = KMeans(num_layers, n_init=10, random_state=seed)
    label = means.fit(_reduced(profiles, seed), sample_weight=np.sqrt(size + 1.0)).labels_
    return np.asarray(pd.factorize(label)[0])


def _reduced(matrix: sparse.csr_matrix | FloatArray, seed: int) -> FloatArray:
    """The rows in at most _RANK - 1 dimensions (truncated SVD)."""
    from sklearn.decomposition import TruncatedSVD

    rank = max(1, min(_RANK, *matrix.shape) - 1)
    return np.asarray(TruncatedSVD(rank, random_state=seed).fit_transform(matrix))


def _one_hot(code: IntArray, num_labels: int) -> sparse.csr_matrix:
    """1 where item i has label l, [I, L]."""
    rows = np.arange(len(code))
    return sparse.csr_matrix((np.ones(len(code), np.float32), (rows, code)), shape=(len(code), num_labels))


def _layer_names(names: pd.Index, code: IntArray, group: IntArray, history: Interactions) -> tuple[str, ...]:
    """Each layer's most bought labels; names in upper case are capitalized."""
    count = np.bincount(code[history.item], minlength=len(names))
    order = np.argsort(-count, kind="stable")
    members = [order[group[order] == layer] for layer in range(group.max() + 1)]
    words = [name.capitalize() if name.isupper() else name for name in map(str, names)]
    return tuple(" + ".join(words[label] for label in labels[:_NAME_PARTS]) for labels in members)


def _shares(history: Interactions, layer: IntArray, share: FloatArray) -> FloatArray:
    """Share of each user's events in each layer, shrunk to the overall share, [U, J]."""
    cell = history.user.astype(np.int64) * len(share) + layer[history.item]
    count = np.bincount(cell, minlength=history.num_users * len(share)).reshape(-1, len(share))
    smoothed = count + _USER_SMOOTHING * share
    return np.asarray(smoothed / smoothed.sum(axis=1, keepdims=True))


def _lift(history: Interactions, interests: FloatArray, code: IntArray, share: FloatArray) -> FloatArray:
    """Q_ij / share_j, with Q_i the mean interest of the item's buyers, shrunk to that of its label, [I, J]."""
    buyers = history.binary_matrix()
    total, count = buyers.T @ interests, np.asarray(buyers.sum(axis=0)).ravel()
    labels = _one_hot(code, int(code.max()) + 1)
    label = (labels.T @ total + share) / (labels.T @ count + 1)[:, None]
    rate: FloatArray = (total + _ITEM_SMOOTHING * label[code]) / (count + _ITEM_SMOOTHING)[:, None]
    return rate / share
