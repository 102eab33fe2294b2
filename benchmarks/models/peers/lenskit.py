"""Peers of LensKit (Ekstrand, CIKM 2020), which score one user at a time from the items of a query."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from lenskit.als import ImplicitMFScorer
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.knn import ItemKNNScorer
from lenskit.pipeline import Component
from lenskit.training import TrainingOptions

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import Training


@dataclass(frozen=True)
class Scorer:
    """A trained scorer of the library; items that it does not know are never ranked."""

    scorer: Component[ItemList]
    items: ItemList

    @classmethod
    def of(cls, scorer: Component[ItemList], training: Training) -> "Scorer":
        """Train on the distinct pairs of the history."""
        user, item = training.history.unique_pairs()
        frame = pd.DataFrame({"user_id": user.astype(np.int64), "item_id": item.astype(np.int64)})
        scorer.train(from_interactions_df(frame), TrainingOptions(rng=training.seed))
        return cls(scorer, ItemList(item_ids=np.arange(training.history.num_items)))

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """[U, I]"""
        met = history.binary_matrix()
        scores = np.stack([self._scores(met[row].indices) for row in range(history.num_users)])
        return np.nan_to_num(scores, nan=-np.inf).astype(np.float32)

    def _scores(self, met: np.ndarray) -> FloatArray:
        query = RecQuery(user_items=ItemList(item_ids=met.astype(np.int64)))
        found: FloatArray = self.scorer(query=query, items=self.items).scores()
        return found


def item_knn(training: Training, options: Mapping[str, Any]) -> Scorer:
    """Item-item neighbours by cosine, of implicit feedback."""
    return Scorer.of(ItemKNNScorer(feedback="implicit", **options), training)


def implicit_mf(training: Training, options: Mapping[str, Any]) -> Scorer:
    """Alternating least squares on implicit feedback."""
    return Scorer.of(ImplicitMFScorer(user_embeddings=False, **options), training)
