"""Fresh events folded into a list that was ranked before them: a session model that is not trained.

Each fresh event lifts its item and the items most like it (Linden et al., IEEE Internet Computing 2003) by
its behaviour's weight and its age; several events add up with saturation, so that ten views are no ten purchases.
"""

from dataclasses import dataclass

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray


@dataclass(frozen=True)
class FreshEvents:
    """What somebody did after the model was fitted: item columns [E] and what each is worth now, 0 to 1, [E]."""

    columns: IntArray
    weights: FloatArray


@dataclass(frozen=True)
class SessionBoost:
    """Neighbours of every item, most alike first.

    neighbours: item columns, -1 where there are fewer, [I, N]
    likeness: 0 to 1, each item's nearest being 1, [I, N]
    strength: what full certainty adds to an item; 1 is the way from the list's end to its top
    """

    neighbours: IntArray
    likeness: FloatArray
    strength: float

    def lift(self, fresh: FreshEvents) -> tuple[IntArray, FloatArray]:
        """The items that fresh events speak for, ascending [L], and how strongly, 0 to 1, [L]."""
        near = np.concatenate([fresh.columns[:, None], self.neighbours[fresh.columns]], axis=1)
        worth = np.concatenate([np.ones((len(near), 1)), self.likeness[fresh.columns]], axis=1)
        worth = (worth * fresh.weights[:, None])[near >= 0]
        items, place = np.unique(near[near >= 0], return_inverse=True)
        lifted: FloatArray = 1.0 - np.exp(-np.bincount(place, worth, minlength=len(items)))
        return items.astype(np.int64), lifted

    def apply(self, columns: IntArray, scores: FloatArray, fresh: FreshEvents) -> tuple[IntArray, FloatArray]:
        """The list [K], scored from 0, its end, to 1, its top, with the items lifted into it, best first."""
        if not len(fresh.columns):
            return columns, scores
        items, lifted = self.lift(fresh)
        low = float(scores.min(initial=np.inf))
        base = (scores - low) / (float(scores.max(initial=-np.inf)) - low or 1.0)
        order = np.argsort(columns, kind="stable")
        place = np.searchsorted(columns, items, sorter=order)
        place = order[np.minimum(place, len(order) - 1)] if len(order) else np.zeros(len(items), np.int64)
        listed = columns[place] == items if len(columns) else np.zeros(len(items), bool)
        moved = base.astype(float, copy=True)
        moved[place[listed]] += self.strength * lifted[listed]
        everything = np.concatenate([columns, items[~listed]])
        total = np.concatenate([moved, self.strength * lifted[~listed]])
        best = np.lexsort((everything, -total))
        return everything[best], total[best]
