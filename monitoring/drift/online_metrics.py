"""Conversion of the champion's served lists in the reference and the current window."""

from dataclasses import dataclass

import numpy as np

from monitoring.drift.statistics.paired_tests import cohens_h
from monitoring.drift.statistics.permutation import ComparisonFamily
from tierrec_core.base.contracts import FloatArray, IntArray


@dataclass(frozen=True)
class OnlineMetrics:
    """Lists shown to, and conversions of, the same V users in both windows, one row per model version and variant.

    versions: display names such as "tierrec:abc champion", [S]
    shown_before, converted_before, shown_after, converted_after: [S, V]
    """

    versions: tuple[str, ...]
    shown_before: IntArray
    converted_before: IntArray
    shown_after: IntArray
    converted_after: IntArray

    def rates(self) -> tuple[FloatArray, FloatArray]:
        """Conversions per list, before and after, [S] each; 0 where nothing was shown."""
        before = self.converted_before.sum(axis=1) / np.maximum(self.shown_before.sum(axis=1), 1)
        return before, self.converted_after.sum(axis=1) / np.maximum(self.shown_after.sum(axis=1), 1)

    def effects(self) -> FloatArray:
        """Cohen's h of the change of the rate, [S]."""
        return cohens_h(*self.rates())

    def comparison_family(self) -> ComparisonFamily:
        """Each user's conversions above the pooled rate, after minus before; tests for a fall."""
        shown = (self.shown_before + self.shown_after).sum(axis=1, keepdims=True)
        converted = (self.converted_before + self.converted_after).sum(axis=1, keepdims=True)
        rate = converted / np.maximum(shown, 1)
        before, after = (
            (part_converted - rate * part_shown) / np.maximum(part_shown.sum(axis=1, keepdims=True), 1)
            for part_converted, part_shown in (
                (self.converted_before, self.shown_before),
                (self.converted_after, self.shown_after),
            )
        )
        return ComparisonFamily((after - before).T, side=-1)
