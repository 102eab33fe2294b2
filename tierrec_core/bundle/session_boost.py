"""Re-ranks a precomputed list using recent events, without a trained session model.

Each recent event boosts its item and the items most similar to it (Linden et al., IEEE Internet Computing 2003) by
the weight of the event and its age. The boosts of several events saturate, so that ten views add less than ten
purchases.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.search.similar_items import SimilarItems


@dataclass(frozen=True)
class FreshEvents:
    """A user's events since the model was fitted: item columns, [E], and current weights, 0 to 1, [E]."""

    columns: IntArray
    weights: FloatArray


@dataclass(frozen=True)
class SessionBoost:
    """The nearest neighbours of every item, most similar first.

    neighbours: item columns, -1 where there are fewer, [I, N]
    similarity: relative to the item's nearest neighbour, 0 to 1, [I, N]
    strength: score added by the largest boost; 1 is the distance from the end of the list to its top
    """

    neighbours: IntArray
    similarity: FloatArray
    strength: float

    @classmethod
    def of(cls, similar: SimilarItems, strength: float) -> Self:
        """Divide each item's similarities by the largest of them."""
        largest = np.maximum(similar.weights.max(axis=1, keepdims=True), 1e-9)
        return cls(similar.neighbours, (similar.weights / largest).clip(0, 1).astype(np.float32), strength)

    def boosts(self, fresh: FreshEvents) -> tuple[IntArray, FloatArray]:
        """The boosted items, ascending, [B], and the boost of each, 0 to 1, [B]."""
        columns = np.concatenate([fresh.columns[:, None], self.neighbours[fresh.columns]], axis=1)
        weight = np.concatenate([np.ones((len(columns), 1)), self.similarity[fresh.columns]], axis=1)
        weight = (weight * fresh.weights[:, None])[columns >= 0]
        items, index = np.unique(columns[columns >= 0], return_inverse=True)
        boost: FloatArray = 1.0 - np.exp(-np.bincount(index, weight, minlength=len(items)))
        return items.astype(np.int64), boost

    def apply(self, columns: IntArray, scores: FloatArray, fresh: FreshEvents) -> tuple[IntArray, FloatArray]:
        """Scale the list's scores [K] to 0..1, add the boosts, and sort; missing boosted items are added.

        Non-finite scores are unchanged: -inf marks a blocked item.
        """
        if not len(fresh.columns):
            return columns, scores
        items, boost = self.boosts(fresh)
        finite = np.isfinite(scores)
        low, high = float(scores[finite].min(initial=np.inf)), float(scores[finite].max(initial=-np.inf))
        boosted = scores.astype(float)
        boosted[finite] = (scores[finite] - low) / (high - low or 1.0)
        index = np.minimum(np.searchsorted(items, columns), len(items) - 1)
        is_boosted = items[index] == columns
        boosted[is_boosted] += self.strength * boost[index[is_boosted]]
        is_new = ~np.isin(items, columns)
        columns = np.concatenate([columns, items[is_new]])
        scores = np.concatenate([boosted, self.strength * boost[is_new]])
        order = np.lexsort((columns, -scores))
        return columns[order], scores[order]
