"""Paired permutation tests over users, and the false discovery rate over all tests.

Under the null hypothesis a user's two windows are exchangeable, which flips the sign of the user's difference
(Fisher, 1935; Chung & Fraser, 1958). Users are the unit, not events, since a user's events are dependent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import chi2, false_discovery_control

from tierrec_core.base.contracts import FloatArray

MAX_USERS = 20_000
_GAUSSIAN_BOUND = 3.178
_CELLS_PER_CHUNK = 8_000_000
_TIE_TOLERANCE = 1e-5  # relative rounding error of float32


@dataclass(frozen=True)
class ComparisonFamily:
    """Differences of the same users that are tested together.

    differences: weighted, after minus before; 0 for an excluded user, [U, M]
    side: 1 tests for a rise, -1 for a fall, 0 for either
    joint: one test of all columns by their sum of squares, instead of one test per column
    """

    differences: FloatArray
    side: int = 0
    joint: bool = False

    def statistic(self, sums: FloatArray) -> FloatArray:
        """Test statistic of sums over users [B, M]; higher is more extreme: [B, M], or joint [B, 1]."""
        if self.joint:
            total: FloatArray = (sums.astype(float) ** 2).sum(axis=1, keepdims=True)
            return total
        return sums * self.side if self.side else np.abs(sums)

    def p_value_bounds(self) -> FloatArray:
        """Upper bound of each p-value for any distribution: 3.178 times the normal tail, [M] or joint [1].

        Sums of random signs never have a heavier tail (Bentkus & Dzindzalieta, Bernoulli 2015).
        """
        return np.ones(1) if self.joint else _GAUSSIAN_BOUND * self.normal_p_values()

    def normal_p_values(self) -> FloatArray:
        """p-values by the normal approximation of the sums of random signs, for many users, [M] or joint [1]."""
        total = self.differences.sum(axis=0)
        if self.joint:
            scatter = self.differences.T @ self.differences
            distance = float(total @ np.linalg.pinv(scatter, hermitian=True) @ total)
            return np.array([chi2.sf(distance, len(total))])
        root = np.sqrt((self.differences**2).sum(axis=0))
        z = np.divide(total, root, out=np.zeros(len(total)), where=root > 0)
        p: FloatArray = ndtr(-z * self.side) if self.side else 2 * ndtr(-np.abs(z))
        return np.where(root > 0, p, 1.0)


def p_values(families: Sequence[ComparisonFamily], permutations: int, seed: int) -> list[FloatArray]:
    """p-values of each family, [M] or joint [1]; all families share the random signs, as they share the users.

    Flipping signs keeps sums of squares, so the sum and its studentized form give the same p-value. With more than
    MAX_USERS users the normal approximation replaces the draws. A p-value below the resolution of `permutations`
    is replaced by its upper bound.
    """
    if len(families[0].differences) > MAX_USERS:
        return [family.normal_p_values() for family in families]
    rng = np.random.default_rng(seed)
    stacked = np.concatenate([family.differences for family in families], axis=1).astype(np.float32)
    num_users = len(stacked)
    observed = _statistics(families, np.ones((1, num_users), np.float32) @ stacked)
    num_extreme = [np.zeros(statistic.shape[1], np.int64) for statistic in observed]
    chunk = max(1, _CELLS_PER_CHUNK // max(num_users, 1))
    for start in range(0, permutations, chunk):
        size = min(chunk, permutations - start)
        signs = rng.integers(0, 2, (size, num_users), dtype=np.int8).astype(np.float32) * 2 - 1
        permuted = _statistics(families, signs @ stacked)
        for count, null, statistic in zip(num_extreme, permuted, observed, strict=True):
            count += (null >= statistic - _TIE_TOLERANCE * np.abs(statistic)).sum(axis=0)
    resolution = 1 / (1 + permutations)
    bounds = [family.p_value_bounds() for family in families]
    return [
        np.where(bound < resolution, bound, (1 + count) * resolution)
        for bound, count in zip(bounds, num_extreme, strict=True)
    ]


def benjamini_hochberg(p_value: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Adjusted p-values (Benjamini & Hochberg, 1995), [M].

    Weights of mean 1 divide the p-values first (Genovese, Roeder & Wasserman, 2006).
    """
    adjusted: FloatArray = false_discovery_control(p_value if weight is None else np.minimum(p_value / weight, 1.0))
    return adjusted


def family_weights(sizes: Sequence[int], importance: Sequence[float]) -> FloatArray:
    """Weight of each test in families of these sizes: importance / sqrt(size), scaled to mean 1.

    With equal weights a family of thirty categories would outweigh a family of one test.
    """
    raw = np.concatenate([np.full(size, value / np.sqrt(size)) for size, value in zip(sizes, importance, strict=True)])
    weight: FloatArray = raw / raw.mean()
    return weight


def _statistics(families: Sequence[ComparisonFamily], sums: FloatArray) -> list[FloatArray]:
    edges = np.cumsum([0, *(family.differences.shape[1] for family in families)])
    return [
        family.statistic(sums[:, start:end]) for family, start, end in zip(families, edges[:-1], edges[1:], strict=True)
    ]
