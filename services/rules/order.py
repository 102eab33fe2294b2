"""What rules are asked: a ranked list, and the situation in which it is to be shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray

_NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Situation:
    """Who looks at what, and when.

    tier: one of TIER_NAMES; user: attributes that segments name; now: with its offset
    k: how many slots the page has; shown: columns on earlier pages, whose slots and caps are used up
    """

    surface: str
    tier: str
    user: Mapping[str, Any]
    now: datetime
    k: int
    shown: IntArray = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True)
class RankedOrder:
    """Distinct catalogue columns, best first, each with its score, [C]."""

    columns: IntArray
    scores: FloatArray

    def take(self, places: Any) -> "RankedOrder":
        """The order at these places: a slice, a mask [C] or indices."""
        return RankedOrder(self.columns[places], self.scores[places])
