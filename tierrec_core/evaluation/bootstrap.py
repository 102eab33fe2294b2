"""Percentile bootstrap intervals over users, single and paired (Efron & Tibshirani, 1993)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.errors import EmptyDataError

_PERCENTILES = (2.5, 97.5)
_CELLS_A_CHUNK = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A mean over users with its 95% interval."""

    value: float
    low: float
    high: float


def intervals(values: FloatArray, draws: int, rng: np.random.Generator) -> list[Interval]:
    """The mean of each column of values [E, M] with its interval; all columns share the resampled users.

    Raises EmptyDataError when there is no user.
    """
    if len(values) == 0:
        raise EmptyDataError("evaluation: no user to average over, wanted at least one with a truth")
    low, high = np.percentile(_resampled_means(values, draws, rng), _PERCENTILES, axis=0)
    return [Interval(*map(float, bounds)) for bounds in zip(values.mean(axis=0), low, high, strict=True)]


def interval(values: FloatArray, draws: int, rng: np.random.Generator) -> Interval:
    """The mean of values [E] with its interval."""
    return intervals(values[:, None], draws, rng)[0]


def paired(values: FloatArray, baseline: FloatArray, draws: int, rng: np.random.Generator) -> Interval:
    """The mean difference of two models over the same users [E], resampled in pairs."""
    return interval(values - baseline, draws, rng)


def by_group(
    values: FloatArray, group: IntArray, names: Sequence[str], draws: int, rng: np.random.Generator
) -> Mapping[str, Interval]:
    """The mean of values [E] in each group, group [E] being an index into names; empty groups are left out.

    With values of `model - baseline` it is the paired difference a tier.
    """
    present = [code for code in range(len(names)) if (group == code).any()]
    return {names[code]: interval(values[group == code], draws, rng) for code in present}


def _resampled_means(values: FloatArray, draws: int, rng: np.random.Generator) -> FloatArray:
    """Means over users drawn with replacement, [draws, M], in chunks that bound the memory."""
    num_users = len(values)
    chunk = max(1, _CELLS_A_CHUNK // num_users)
    means = []
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        drawn = rng.integers(num_users, size=(size, num_users)) + np.arange(size)[:, None] * num_users
        counts = np.bincount(drawn.ravel(), minlength=size * num_users).reshape(size, num_users)
        means.append(counts @ values / num_users)
    return np.concatenate(means)
