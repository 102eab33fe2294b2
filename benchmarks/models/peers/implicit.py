"""Peers that install beside us, made to score histories as our own models do: item-item models of `implicit`."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, ItemItemRecommender
from implicit.utils import ParameterWarning
from scipy import sparse

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import Training


@dataclass(frozen=True)
class ItemItem:
    """similarity: row i says what having met item i says of the others, [I, I]"""

    similarity: sparse.csr_matrix

    @classmethod
    def of(cls, model: ItemItemRecommender, training: Training) -> "ItemItem":
        """Fit the library's model to what users met at all."""
        with warnings.catch_warnings(action="ignore", category=ParameterWarning):
            model.fit(training.history.binary_matrix().astype(np.float64), show_progress=False)
        return cls(model.similarity.astype(np.float32).tocsr())

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """As the library's `recommend` scores, [U, I]."""
        scores: FloatArray = (history.binary_matrix() @ self.similarity).toarray().astype(np.float32)
        return scores


def bm25(training: Training, options: Mapping[str, Any]) -> ItemItem:
    """BM25-weighted item-item neighbours (Robertson & Walker, SIGIR 1994)."""
    return ItemItem.of(BM25Recommender(K=options["neighbours"], num_threads=1), training)


def cosine(training: Training, options: Mapping[str, Any]) -> ItemItem:
    """Item-item neighbours by plain cosine."""
    return ItemItem.of(CosineRecommender(K=options["neighbours"], num_threads=1), training)
