"""What an item's attributes tell of its vector and its popularity, for items that nobody has met.

Ridge regression from attributes to the item vectors of collaborative filtering (Gantner et al., ICDM 2010).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from tierrec_core.contracts import FloatArray
from tierrec_core.interactions import Interactions
from tierrec_core.lexicon import Lexicon
from tierrec_core.texts import attributes, words

_L2 = 1.0  # of an item of mean weight
_TOLERANCE = 1e-3
_STEPS_AN_OCTAVE = 2.0


@dataclass(frozen=True)
class ContentModel:
    """Linear in D features: values of attributes, words of the title, levels of the price.

    features: their names, [D]
    weights: what a feature adds to each entry of the vector and, last, to the logarithm of 1 + events, [D, F + 1]
    base: all of these for an item without a feature that is known, [F + 1]
    num_events: of the whole history
    """

    features: Lexicon
    weights: FloatArray
    base: FloatArray
    num_events: int

    @classmethod
    def fit(cls, items: pd.DataFrame, item_vectors: FloatArray, history: Interactions) -> Self:
        """Learn from ITEMS, row i for column i of the vectors [I, F] and of the history.

        An item weighs as the logarithm of its events: the vector of one that few have met is mostly noise.
        """
        described = _features(items)
        features = Lexicon.of(described)
        popularity = np.log1p(np.bincount(history.item, minlength=len(items)))
        weight = popularity + 1e-3
        ridge = Ridge(_L2 * float(weight.mean()), solver="lsqr", tol=_TOLERANCE)
        with threadpool_limits(1, "blas"):
            ridge.fit(
                _present(features, described),
                np.column_stack([item_vectors, popularity]),
                sample_weight=weight,
            )
        return cls(
            features, ridge.coef_.T.astype(np.float32), ridge.intercept_.astype(np.float32), len(history)
        )

    def vectors(self, items: pd.DataFrame) -> FloatArray:
        """The vector that each item of ITEMS may come to have, [N, F] float32."""
        return self._predicted(items)[:, :-1]

    def popularity(self, items: pd.DataFrame) -> FloatArray:
        """The share of all events that each item of ITEMS may come to have, 0 to 1, [N] float32."""
        share: FloatArray = np.expm1(self._predicted(items)[:, -1]) / max(self.num_events, 1)
        return share.clip(0.0, 1.0)

    def _predicted(self, items: pd.DataFrame) -> FloatArray:
        predicted: FloatArray = _present(self.features, _features(items)) @ self.weights + self.base
        return predicted


def _present(features: Lexicon, described: list[list[str]]) -> sparse.csr_matrix:
    """1 where an item has a feature, [N, D] float32."""
    return (features.count(described) > 0).astype(np.float32)


def _features(items: pd.DataFrame) -> list[list[str]]:
    """Names of each item's features, [N]."""
    columns = [_title(items["title"]), _level(items["price"])]
    columns += [_value(items[name], name) for name in attributes(items)]
    return [[feature for part in parts for feature in part] for parts in zip(*columns, strict=True)]


def _title(titles: pd.Series) -> list[list[str]]:
    return [[f"title:{word}" for word in words(title)] for title in titles.fillna("")]


def _level(prices: pd.Series) -> list[list[str]]:
    known = pd.to_numeric(prices).astype(float)
    level = np.round(_STEPS_AN_OCTAVE * np.log2(known.where(known > 0)))
    return [[] if np.isnan(one) else [f"price~{one:.0f}"] for one in level]


def _value(values: pd.Series, name: str) -> list[list[str]]:
    return [[f"{name}={value}"] if isinstance(value, str) else [] for value in values]
