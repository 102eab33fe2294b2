"""Percentile bootstrap intervals over users, single and paired (Efron & Tibshirani, 1993), and their JSON form."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.errors import EmptyDataError

_PERCENTILES = (2.5, 97.5)
_CELLS_PER_CHUNK = 4_000_000
_DIGITS = 6


@dataclass(frozen=True)
class ConfidenceInterval:
    """An estimate with its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def bounds(self) -> list[float]:
        """Both ends, rounded for JSON."""
        return [round_figure(self.low), round_figure(self.high)]

    def report(self, name: str) -> dict[str, Any]:
        """The estimate as `name` and its ends as `name_ci`, rounded for JSON."""
        return {name: round_figure(self.value), f"{name}_ci": self.bounds}

    def report_delta(self, against: str) -> dict[str, Any]:
        """A difference to the model `against`, rounded for JSON."""
        return {"against": against, "value": round_figure(self.value), "ci": self.bounds}


def round_figure(value: float) -> float:
    """Round to six digits, without negative zero, so that equal figures are equal text."""
    return round(float(value), _DIGITS) + 0.0


def round_figures(figures: Mapping[str, float]) -> dict[str, float]:
    """Each figure rounded as by `round_figure`."""
    return {name: round_figure(figure) for name, figure in figures.items()}


def bootstrap_means(values: FloatArray, draws: int, rng: np.random.Generator) -> list[ConfidenceInterval]:
    """The mean of each column of values [E, M] with its interval; all columns share the resampled users.

    Raises EmptyDataError when there is no user.
    """
    if len(values) == 0:
        raise EmptyDataError("evaluation: no user to average over, wanted one with a target event; add events")
    low, high = np.percentile(_resampled_means(values, draws, rng), _PERCENTILES, axis=0)
    return [ConfidenceInterval(*map(float, column)) for column in zip(values.mean(axis=0), low, high, strict=True)]


def bootstrap_mean(values: FloatArray, draws: int, rng: np.random.Generator) -> ConfidenceInterval:
    """The mean of values [E] with its interval."""
    return bootstrap_means(values[:, None], draws, rng)[0]


def paired_bootstrap(
    values: FloatArray, baseline: FloatArray, draws: int, rng: np.random.Generator
) -> ConfidenceInterval:
    """The mean difference of two models over the same users [E], resampled in pairs."""
    return bootstrap_mean(values - baseline, draws, rng)


def bootstrap_by_group(
    values: FloatArray, group: IntArray, names: Sequence[str], draws: int, rng: np.random.Generator
) -> Mapping[str, ConfidenceInterval]:
    """The mean of values [E] in each group; group: index into names, [E], -1 for none. Empty groups are left out."""
    present = [code for code in range(len(names)) if (group == code).any()]
    return {names[code]: bootstrap_mean(values[group == code], draws, rng) for code in present}


def percentile_interval(value: float, resampled: FloatArray) -> ConfidenceInterval:
    """An estimate with the percentile interval of its resampled values [B], ignoring NaN."""
    low, high = np.nanpercentile(resampled, _PERCENTILES)
    return ConfidenceInterval(float(value), float(low), float(high))


def resample_counts(num_rows: int, draws: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """How often each row is drawn in `draws` samples with replacement, [B, N], in chunks that bound the memory."""
    for size in _chunks(num_rows, draws):
        yield rng.multinomial(num_rows, np.full(num_rows, 1.0 / num_rows), size).astype(float)


def _resampled_means(values: FloatArray, draws: int, rng: np.random.Generator) -> FloatArray:
    """Means over users drawn with replacement, [draws, M], in chunks that bound the memory."""
    num_users = len(values)
    means = []
    for size in _chunks(num_users, draws):
        drawn = rng.integers(num_users, size=(size, num_users)) + np.arange(size)[:, None] * num_users
        counts = np.bincount(drawn.ravel(), minlength=size * num_users).reshape(size, num_users)
        means.append(counts @ values / num_users)
    return np.concatenate(means)


def _chunks(num_rows: int, draws: int) -> Iterator[int]:
    """Sizes of the chunks that `draws` samples of num_rows rows are drawn in."""
    chunk = max(1, _CELLS_PER_CHUNK // max(num_rows, 1))
    for start in range(0, draws, chunk):
        yield min(chunk, draws - start)
