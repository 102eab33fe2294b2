"""Re-ranks a precomputed list using recent events, without a trained session model.

Each recent event boosts its item and the items most similar to it (Linden et al., IEEE Internet Computing 2003) by
the weight of the event and its age. The boosts of several events saturate, so that ten views count for less than ten
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
        """Scale each item's similarities by the largest of them."""
        largest = np.maximum(similar.weights.max(axis=1, keepdims=True), 1e-9)
        return cls(similar.neighbours, (similar.weights / largest).clip(0, 1).astype(np.float32), strength)

    def boosts(self, fresh: FreshEvents) -> tuple[IntArray, FloatArray]:
        """The boosted items, ascending, [B], and the boost of each, 0 to 1, [B]."""
        near = np.concatenate([fresh.columns[:, None], self.neighbours[fresh.columns]], axis=1)
        weight = np.concatenate([np.ones((len(near), 1)), self.similarity[fresh.columns]], axis=1)
        weight = (weight * fresh.weights[:, None])[near >= 0]
        items, index = np.unique(near[near >= 0], return_inverse=True)
        boost: FloatArray = 1.0 - np.exp(-np.bincount(index, weight, minlength=len(items)))
        return items.astype(np.int64), boost

    def apply(self, columns: IntArray, scores: FloatArray, fresh: FreshEvents) -> tuple[IntArray, FloatArray]:
        """Scale the list's scores [K] to 0..1, add the boosts, and sort; boosted items that it lacks join it."""
        if not len(fresh.columns):
            return columns, scores
        items, boost = self.boosts(fresh)
        low = float(scores.min(initial=np.inf))
        scaled = (scores - low) / (float(scores.max(initial=-np.inf)) - low or 1.0)
        order = np.argsort(columns, kind="stable")
        position = np.searchsorted(columns, items, sorter=order)
        position = order[np.minimum(position, len(order) - 1)] if len(order) else np.zeros(len(items), np.int64)
        listed = columns[position] == items if len(columns) else np.zeros(len(items), bool)
        boosted = scaled.astype(float, copy=True)
        boosted[position[listed]] += self.strength * boost[listed]
        columns = np.concatenate([columns, items[~listed]])
        scores = np.concatenate([boosted, self.strength * boost[~listed]])
        best = np.lexsort((columns, -scores))
        return columns[best], scores[best]
