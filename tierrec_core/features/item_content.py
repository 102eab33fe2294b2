"""Predicts the vector and the popularity of an item without events from its attributes.

Ridge regression from attributes to the item vectors of collaborative filtering (Gantner et al., ICDM 2010).
"""

from collections import Counter
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.text import Vocabulary, text_columns, tokenize

_L2 = (1.0, 5.0, 30.0)  # for an item of mean weight; the last where there are too few items to validate
_VALIDATION_PART = 5  # one item in so many is held out to choose the l2
_TOLERANCE = 1e-3
_LEVELS_PER_OCTAVE = 2.0
_MIN_ITEMS = 2  # of a feature
_MAX_PAIRED = 8  # attributes, since their pairs grow with the square


@dataclass(frozen=True)
class ContentModel:
    """Linear in D features: words of the title, levels of the price, values of attributes and pairs of them.

    features: their names, [D]
    weights: of each feature for the F entries of the vector and, last, for the logarithm of 1 + events, [D, F + 1]
    base: prediction for an item without any of the features, [F + 1]
    num_events: of the history
    """

    features: Vocabulary
    weights: FloatArray
    base: FloatArray
    num_events: int

    @classmethod
    def fit(cls, items: pd.DataFrame, item_vectors: FloatArray, history: Interactions) -> Self:
        """Learn from ITEMS, row i for column i of the vectors [I, F] and of the history.

        An item is weighted by the logarithm of its events, since the vector of a rare item is mostly noise.
        """
        described = content_features(items)
        features = feature_vocabulary(described)
        design = _indicators(features, described)
        popularity = np.log1p(np.bincount(history.item, minlength=len(items)))
        target, weight = np.column_stack([item_vectors, popularity]), popularity + 1e-3
        ridge = _fit_ridge(design, target, weight, _choose_l2(design, target, weight))
        return cls(features, ridge.coef_.T.astype(np.float32), ridge.intercept_.astype(np.float32), len(history))

    def vectors(self, items: pd.DataFrame) -> FloatArray:
        """Predicted vector of each item of ITEMS, [N, F] float32."""
        return self._predict(items)[:, :-1]

    def popularity(self, items: pd.DataFrame) -> FloatArray:
        """Predicted share of all events of each item of ITEMS, 0 to 1, [N] float32."""
        share: FloatArray = np.expm1(self._predict(items)[:, -1]) / max(self.num_events, 1)
        return share.clip(0.0, 1.0)

    def _predict(self, items: pd.DataFrame) -> FloatArray:
        return np.asarray(_indicators(self.features, content_features(items)) @ self.weights + self.base)


def _fit_ridge(design: sparse.csr_matrix, target: FloatArray, weight: FloatArray, l2: float) -> Ridge:
    with threadpool_limits(1, "blas"):
        return Ridge(l2 * float(weight.mean()), solver="lsqr", tol=_TOLERANCE).fit(design, target, weight)


def _choose_l2(design: sparse.csr_matrix, target: FloatArray, weight: FloatArray) -> float:
    """The value of _L2 with the lowest error on held-out items, all F + 1 outputs weighted equally."""
    held_out = np.random.default_rng(0).permutation(len(target)) < len(target) // _VALIDATION_PART
    if not held_out.any():
        return _L2[-1]
    variance = target.var(axis=0) + 1e-9

    def error(l2: float) -> float:
        ridge = _fit_ridge(design[~held_out], target[~held_out], weight[~held_out], l2)
        squares = (ridge.predict(design[held_out]) - target[held_out]) ** 2
        return float(np.average((squares / variance).mean(axis=1), weights=weight[held_out]))

    return min(_L2, key=error)


def _indicators(features: Vocabulary, described: list[list[str]]) -> sparse.csr_matrix:
    """1 where an item has a feature, [N, D] float32."""
    return (features.count(described) > 0).astype(np.float32)


def content_features(items: pd.DataFrame) -> list[list[str]]:
    """Names of each item's features, [N]: words of the title, the price's level, attributes, pairs of the last two.

    Pairs are interactions: the effect of a brand differs between categories.
    """
    columns = [_price_level(items["price"]), *(_values(items[name], name) for name in text_columns(items))]
    names = []
    for title, *values in zip(items["title"].fillna(""), *columns, strict=True):
        attributes = list(chain.from_iterable(values))
        pairs = map("&".join, combinations(attributes[:_MAX_PAIRED], 2))
        names.append([*(f"title:{word}" for word in tokenize(title)), *attributes, *pairs])
    return names


def feature_vocabulary(described: list[list[str]]) -> Vocabulary:
    """The features of at least two items."""
    count = Counter(feature for features in described for feature in set(features))
    return Vocabulary.of([[feature for feature, items in count.items() if items >= _MIN_ITEMS]])


def _price_level(prices: pd.Series) -> list[list[str]]:
    known = pd.to_numeric(prices).astype(float)
    levels = np.round(_LEVELS_PER_OCTAVE * np.log2(known.where(known > 0)))
    return [[] if np.isnan(level) else [f"price~{level:.0f}"] for level in levels]


def _values(values: pd.Series, name: str) -> list[list[str]]:
    return [[f"{name}={value}"] if isinstance(value, str) else [] for value in values]
