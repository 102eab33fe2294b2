"""A shop in which some items were never met, for benchmarks of what content alone tells."""

from dataclasses import replace

import numpy as np

from tierrec_core.base.contracts import IntArray
from tierrec_core.data.interactions import Interactions


def without(history: Interactions, kept: IntArray) -> Interactions:
    """The history over the kept columns only."""
    place = np.full(history.num_items, -1, np.int32)
    place[kept] = np.arange(len(kept))
    left = history.where(place[history.item] >= 0)
    return replace(left, items=history.items[kept], item=place[left.item])
