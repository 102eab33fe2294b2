"""What the champion's lists were worth when it was new, and what they are worth now, over users."""

from dataclasses import dataclass

import numpy as np

from monitoring.drift.statistics.paired_tests import cohens_h
from monitoring.drift.statistics.permutation import ComparisonFamily
from tierrec_core.base.contracts import FloatArray, IntArray


@dataclass(frozen=True)
class OnlineMetrics:
    """Lists shown and conversions of the same V users in both windows, one row a model version and side.

    versions: what a person reads, such as "tierrec:abc champion", [S]
    shown_before, converted_before, shown_after, converted_after: [S, V]
    """

    versions: tuple[str, ...]
    shown_before: IntArray
    converted_before: IntArray
    shown_after: IntArray
    converted_after: IntArray

    def rates(self) -> tuple[FloatArray, FloatArray]:
        """Conversions a list, before and after, [S] each; 0 where nothing was shown."""
        before = self.converted_before.sum(axis=1) / np.maximum(self.shown_before.sum(axis=1), 1)
        return before, self.converted_after.sum(axis=1) / np.maximum(self.shown_after.sum(axis=1), 1)

    def effects(self) -> FloatArray:
        """Cohen's h of the change of the rate, [S]."""
        return cohens_h(*self.rates())

    def block(self) -> ComparisonFamily:
        """Each user's conversions beyond the rate of both windows together, after minus before; only a fall counts."""
        shown = (self.shown_before + self.shown_after).sum(axis=1, keepdims=True)
        converted = (self.converted_before + self.converted_after).sum(axis=1, keepdims=True)
        rate = converted / np.maximum(shown, 1)
        before = (self.converted_before - rate * self.shown_before) / np.maximum(
            self.shown_before.sum(axis=1, keepdims=True), 1
        )
        after = (self.converted_after - rate * self.shown_after) / np.maximum(
            self.shown_after.sum(axis=1, keepdims=True), 1
        )
        return ComparisonFamily((after - before).T, side=-1)
