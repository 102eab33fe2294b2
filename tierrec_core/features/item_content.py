"""Predicts the vector and the popularity of an item without events from its attributes.

Ridge regression from attributes to the item vectors of collaborative filtering (Gantner et al., ICDM 2010).
"""

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.text import Vocabulary, text_columns, tokenize

_L2 = (1.0, 5.0, 30.0)  # of an item of mean weight; the last where there are too few items to choose
_CHOSEN_BY = 5  # on one item in so many
_TOLERANCE = 1e-3
_STEPS_AN_OCTAVE = 2.0
_LEAST_ITEMS = 2  # what a single item has tells of no other
_PAIRED = 8  # of so many attributes at most, since their pairs grow with the square


@dataclass(frozen=True)
class ContentModel:
    """Linear in D features: words of the title, levels of the price, values of attributes and pairs of them.

    features: their names, [D]
    weights: what a feature adds to each entry of the vector and, last, to the logarithm of 1 + events, [D, F + 1]
    base: all of these for an item without a feature that is known, [F + 1]
    num_events: of the whole history
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
        present = _present(features, described)
        popularity = np.log1p(np.bincount(history.item, minlength=len(items)))
        told, weight = np.column_stack([item_vectors, popularity]), popularity + 1e-3
        ridge = _ridge(present, told, weight, _chosen_l2(present, told, weight))
        return cls(features, ridge.coef_.T.astype(np.float32), ridge.intercept_.astype(np.float32), len(history))

    def vectors(self, items: pd.DataFrame) -> FloatArray:
        """Predicted vector of each item of ITEMS, [N, F] float32."""
        return self._predicted(items)[:, :-1]

    def popularity(self, items: pd.DataFrame) -> FloatArray:
        """Predicted share of all events of each item of ITEMS, 0 to 1, [N] float32."""
        share: FloatArray = np.expm1(self._predicted(items)[:, -1]) / max(self.num_events, 1)
        return share.clip(0.0, 1.0)

    def _predicted(self, items: pd.DataFrame) -> FloatArray:
        predicted: FloatArray = _present(self.features, content_features(items)) @ self.weights + self.base
        return predicted


def _ridge(present: sparse.csr_matrix, told: FloatArray, weight: FloatArray, l2: float) -> Ridge:
    with threadpool_limits(1, "blas"):
        return Ridge(l2 * float(weight.mean()), solver="lsqr", tol=_TOLERANCE).fit(present, told, weight)


def _chosen_l2(present: sparse.csr_matrix, told: FloatArray, weight: FloatArray) -> float:
    """The value of _L2 with the lowest error on held-out items, all F + 1 outputs weighted equally."""
    held = np.random.default_rng(0).permutation(len(told)) < len(told) // _CHOSEN_BY
    if not held.any():
        return _L2[-1]
    spread = told.var(axis=0) + 1e-9

    def error(l2: float) -> float:
        found = _ridge(present[~held], told[~held], weight[~held], l2).predict(present[held])
        return float(np.average(((found - told[held]) ** 2 / spread).mean(axis=1), weights=weight[held]))

    return min(_L2, key=error)


def _present(features: Vocabulary, described: list[list[str]]) -> sparse.csr_matrix:
    """1 where an item has a feature, [N, D] float32."""
    return (features.count(described) > 0).astype(np.float32)


def content_features(items: pd.DataFrame) -> list[list[str]]:
    """Names of each item's features, [N]: words of the title, the price's level, attributes, pairs of the last two.

    A pair tells what neither part does: a brand is not liked, or known, alike in each category.
    """
    columns = [_level(items["price"]), *(_value(items[name], name) for name in text_columns(items))]
    single = [[feature for part in parts for feature in part] for parts in zip(*columns, strict=True)]
    return [
        [*title, *values, *map("&".join, combinations(values[:_PAIRED], 2))]
        for title, values in zip(_title(items["title"]), single, strict=True)
    ]


def feature_vocabulary(described: list[list[str]]) -> Vocabulary:
    """The features that more than one item has."""
    count = Counter(feature for features in described for feature in set(features))
    return Vocabulary.of([[feature for feature, items in count.items() if items >= _LEAST_ITEMS]])


def _title(titles: pd.Series) -> list[list[str]]:
    return [[f"title:{word}" for word in tokenize(title)] for title in titles.fillna("")]


def _level(prices: pd.Series) -> list[list[str]]:
    known = pd.to_numeric(prices).astype(float)
    level = np.round(_STEPS_AN_OCTAVE * np.log2(known.where(known > 0)))
    return [[] if np.isnan(one) else [f"price~{one:.0f}"] for one in level]


def _value(values: pd.Series, name: str) -> list[list[str]]:
    return [[f"{name}={value}"] if isinstance(value, str) else [] for value in values]
