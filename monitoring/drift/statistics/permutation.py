"""Significance by exchanging users' windows at random, and the false discovery rate over all tests.

Under the hypothesis that nothing changed, a user's two windows may change places, which flips the sign of the user's
difference (Fisher, 1935; Chung & Fraser, 1958). Rows are never exchanged: a user's events hang together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import chi2

from tierrec_core.base.contracts import FloatArray

MAX_USERS = 20_000
_GAUSSIAN_BOUND = 3.178
_CELLS_A_CHUNK = 8_000_000
_TIE = 1e-5  # of the observed value: what float32 may add


@dataclass(frozen=True)
class ComparisonFamily:
    """Differences of the same users that are tested together.

    differences: after minus before, weighted; 0 for who does not take part, [U, M]
    side: 1 tests for a rise, -1 for a fall, 0 for either
    joint: one test of all columns at once, by the sum of squares, instead of one a column
    """

    differences: FloatArray
    side: int = 0
    joint: bool = False

    def statistic(self, sums: FloatArray) -> FloatArray:
        """What is held against chance, the higher the stronger, for sums over users [B, M]: [B, M], or joint [B, 1]."""
        if self.joint:
            total: FloatArray = (sums.astype(float) ** 2).sum(axis=1, keepdims=True)
            return total
        return sums * self.side if self.side else np.abs(sums)

    def bound(self) -> FloatArray:
        """What no p-value can exceed, however the values lie: 3.178 of the normal tail, [M] or joint [1].

        Sums of random signs never have a heavier tail (Bentkus & Dzindzalieta, Bernoulli 2015).
        """
        return np.ones(1) if self.joint else _GAUSSIAN_BOUND * self.limit()

    def limit(self) -> FloatArray:
        """p-values where users are so many that sums of random signs are normal, [M] or joint [1]."""
        total = self.differences.sum(axis=0)
        if self.joint:
            spread = self.differences.T @ self.differences
            distance = float(total @ np.linalg.pinv(spread, hermitian=True) @ total)
            return np.array([chi2.sf(distance, len(total))])
        root = np.sqrt((self.differences**2).sum(axis=0))
        z = np.divide(total, root, out=np.zeros(len(total)), where=root > 0)
        p: FloatArray = ndtr(-z * self.side) if self.side else 2 * ndtr(-np.abs(z))
        return np.where(root > 0, p, 1.0)


def p_values(blocks: Sequence[ComparisonFamily], permutations: int, seed: int) -> list[FloatArray]:
    """p-values of each block, [M] or joint [1]; all blocks share the random signs, as they share the users.

    Flipping signs leaves sums of squares as they are, so that the sum and its studentised form give the same p. With
    more than MAX_USERS users the signs are not drawn: the normal limit of their distribution is taken. A p-value finer
    than `permutations` can tell is its bound.
    """
    if len(blocks[0].differences) > MAX_USERS:
        return [block.limit() for block in blocks]
    rng = np.random.default_rng(seed)
    stacked = np.concatenate([block.differences for block in blocks], axis=1).astype(np.float32)
    num_users = len(stacked)
    observed = _statistics(blocks, np.ones((1, num_users), np.float32) @ stacked)
    reached = [np.zeros(one.shape[1], np.int64) for one in observed]
    chunk = max(1, _CELLS_A_CHUNK // max(num_users, 1))
    for start in range(0, permutations, chunk):
        size = min(chunk, permutations - start)
        signs = rng.integers(0, 2, (size, num_users), dtype=np.int8).astype(np.float32) * 2 - 1
        drawn = _statistics(blocks, signs @ stacked)
        for count, chance, found in zip(reached, drawn, observed, strict=True):
            count += (chance >= found - _TIE * np.abs(found)).sum(axis=0)
    finest = 1 / (1 + permutations)
    return [
        np.where(block.bound() < finest, block.bound(), (1 + count) * finest)
        for block, count in zip(blocks, reached, strict=True)
    ]


def benjamini_hochberg(p_value: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Adjusted p-values (Benjamini & Hochberg, 1995), [M].

    With weights of mean 1 a test of weight 2 is judged as if its p were half (Genovese, Roeder & Wasserman, 2006).
    """
    raw = p_value if weight is None else np.minimum(p_value / weight, 1.0)
    order = np.argsort(raw, kind="stable")
    scaled = raw[order] * len(raw) / np.arange(1, len(raw) + 1)
    adjusted = np.empty(len(raw))
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return np.minimum(adjusted, 1.0)


def family_weights(sizes: Sequence[int], importance: Sequence[float]) -> FloatArray:
    """Weight of each test when tests come in families of these sizes: importance / root of the size, scaled to mean 1.

    With equal weights a family of thirty categories would decide how little a family of one test may find.
    """
    raw = np.concatenate(
        [np.full(size, more / np.sqrt(size)) for size, more in zip(sizes, importance, strict=True)]
    )
    weight: FloatArray = raw / raw.mean()
    return weight


def _statistics(blocks: Sequence[ComparisonFamily], sums: FloatArray) -> list[FloatArray]:
    edges = np.cumsum([0, *(block.differences.shape[1] for block in blocks)])
    return [
        block.statistic(sums[:, start:end])
        for block, start, end in zip(blocks, edges[:-1], edges[1:], strict=True)
    ]
