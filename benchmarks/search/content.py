"""Histories without some items, for benchmarks of cold items."""

from dataclasses import replace

import numpy as np

from tierrec_core.base.contracts import IntArray
from tierrec_core.data.interactions import Interactions


def restrict_columns(history: Interactions, kept: IntArray) -> Interactions:
    """Restrict a history to some item columns."""
    place = np.full(history.num_items, -1, np.int32)
    place[kept] = np.arange(len(kept))
    left = history.where(place[history.item] >= 0)
    return replace(left, items=history.items[kept], item=place[left.item])
