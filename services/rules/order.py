"""The input of the rules: a ranked list, and the situation in which it is shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray


@dataclass(frozen=True)
class Situation:
    """Where, when and to whom a list is shown.

    tier: its name; user: attributes that segments refer to; now: with a time zone
    k: the number of slots of the page; shown: columns on earlier pages, which have used slots and caps
    """

    surface: str
    tier: str
    user: Mapping[str, Any]
    now: datetime
    k: int
    shown: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class RankedOrder:
    """Distinct catalogue columns, best first, each with its score, [C]."""

    columns: IntArray
    scores: FloatArray

    def take(self, positions: Any) -> "RankedOrder":
        """The order at these positions: a slice, a mask [C] or indices."""
        return RankedOrder(self.columns[positions], self.scores[positions])
