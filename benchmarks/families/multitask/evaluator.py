"""AUC and calibration error of pair probabilities, with bootstrap intervals over households."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.evaluation.bootstrap import percentile_interval
from tierrec_core.evaluation.calibration import roc_auc

_RANKS = 1000
_TENTHS = 10
_DIGITS = 5


@dataclass(frozen=True)
class TaskFigures:
    """One model on one task: AUC and expected calibration error, and both in each bootstrap sample [D].

    by_seed: AUC of each seed, [S]
    """

    auc: float
    ece: float
    by_seed: tuple[float, ...]
    drawn_auc: FloatArray
    drawn_ece: FloatArray

    def report(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        return {
            "auc": round(self.auc, _DIGITS),
            "auc_ci": percentile_interval(self.auc, self.drawn_auc).bounds,
            "auc_by_seed": [round(one, _DIGITS) for one in self.by_seed],
            "ece": round(self.ece, _DIGITS + 1),
            "ece_ci": percentile_interval(self.ece, self.drawn_ece).bounds,
        }

    def ahead_of(self, other: "TaskFigures") -> dict[str, Any]:
        """Paired difference of the AUCs."""
        delta = percentile_interval(self.auc - other.auc, self.drawn_auc - other.drawn_auc)
        return {"value": round(delta.value, _DIGITS), "ci": delta.bounds}


@dataclass(frozen=True)
class Evaluator:
    """Labels of one task, and the bootstrap samples that all models share.

    label, user: of each pair, [N]; counts: of each user in each sample, [D, U]
    """

    label: BoolArray
    user: IntArray
    counts: FloatArray

    @classmethod
    def of(cls, label: BoolArray, user: IntArray, draws: int, seed: int) -> "Evaluator":
        """Draw the bootstrap samples of users."""
        size = int(user.max()) + 1
        drawn = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), draws)
        return cls(label, user, drawn.astype(np.float32))

    def __call__(self, seeds: Sequence[FloatArray]) -> TaskFigures:
        """Evaluate the probabilities of S seeds, [N] each, and average.

        Resampling noise biases a sum of absolute gaps upwards: calibration errors are shifted to the point estimate.
        """
        found = [self._areas(one) for one in seeds]
        errors = [self._errors(one) for one in seeds]
        points = [float(roc_auc(self.label, one, np.ones((1, len(one))))[0]) for one in seeds]
        ece = float(np.mean([point for point, _ in errors]))
        drawn = np.mean([one for _, one in errors], axis=0)
        auc = float(np.mean(points))
        return TaskFigures(auc, ece, tuple(points), np.mean(found, axis=0), np.maximum(drawn - drawn.mean() + ece, 0))

    def _areas(self, probability: FloatArray) -> FloatArray:
        """AUC in each bootstrap sample, [D]; probabilities of the same permille count as ties."""
        rank = np.empty(len(probability), np.int64)
        rank[np.argsort(probability, kind="stable")] = np.arange(len(probability)) * _RANKS // len(probability)
        true = self.counts @ self._table(rank, _RANKS, self.label)
        false = self.counts @ self._table(rank, _RANKS, ~self.label)
        below = np.cumsum(false, axis=1) - false / 2
        return np.asarray((true * below).sum(axis=1) / (true.sum(axis=1) * false.sum(axis=1)))

    def _errors(self, probability: FloatArray) -> tuple[float, FloatArray]:
        """Expected calibration error over ten bins, and in each bootstrap sample [D]."""
        edges = np.quantile(probability, np.arange(1, _TENTHS) / _TENTHS)
        tenth = np.searchsorted(np.unique(edges), probability, side="left")
        gaps = self._table(tenth, _TENTHS, probability - self.label)
        size = self._table(np.zeros_like(tenth), 1, np.ones(len(tenth)))
        point = np.abs(gaps.sum(axis=0)).sum() / size.sum()
        return float(point), np.abs(self.counts @ gaps).sum(axis=1) / (self.counts @ size)[:, 0]

    def _table(self, column: IntArray, columns: int, weight: FloatArray | BoolArray) -> FloatArray:
        """Sums of the weight by user and column, [U, columns]."""
        size = self.counts.shape[1]
        sums = np.bincount(self.user * columns + column, weight, size * columns)
        return sums.reshape(size, columns).astype(np.float32)


def differences(of: Mapping[str, TaskFigures], model: str, others: Sequence[str]) -> dict[str, Any]:
    """Paired differences of the model to each of the others."""
    return {other: of[model].ahead_of(of[other]) for other in others}
