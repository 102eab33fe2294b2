"""Reference window and current window of a feed, and limits for their differences from the log's own past windows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from monitoring.drift.feed.feed_log import FeedLog
from tierrec_core.base.contracts import FloatArray, IntArray

_MIN_PAIRS = 4
_QUANTILE = 0.75  # over past pairs: the largest may hold a drift or a fault of its own
_FACTOR = 2.0  # times that quantile
_MIN_TAIL_DAYS = 2  # behind a change point

Statistic = Callable[[FeedLog, FeedLog], Mapping[str, float]]
"""Differences between two windows by name; larger is less usual."""


@dataclass(frozen=True)
class FeedSpan:
    """The two windows that are compared, and the earlier pairs from which limits are learned; days since 1970 UTC.

    before: first day of the reference window; cut: the day after it; start, end: of the current window
    num_past: pairs of past windows, `step` days apart
    """

    before: float
    cut: float
    start: float
    end: float
    num_past: int
    step: float


@dataclass(frozen=True)
class Excess:
    """A difference over its limit; usual: the largest between past windows, NaN without any."""

    name: str
    value: float
    limit: float
    usual: float

    @property
    def ratio(self) -> float:
        """Size relative to the limit."""
        return self.value / self.limit

    def sure(self) -> str:
        """The evidence in words."""
        if np.isnan(self.usual):
            return f"{self.value / self.limit:.1f} times the limit; the log has too few past windows to compare"
        if self.usual < self.limit / 20:
            return "no past pair of windows differed like this"
        return f"{self.value / self.usual:.1f} times the largest difference between past windows"


@dataclass(frozen=True)
class FeedComparison:
    """The whole log up to the end of the current window, and the two windows that are compared."""

    log: FeedLog
    span: FeedSpan

    @cached_property
    def before(self) -> FeedLog:
        """The reference window."""
        return self._window(self.span.before)

    @cached_property
    def after(self) -> FeedLog:
        """The current window."""
        return self._window(self.span.start)

    @cached_property
    def past(self) -> tuple[tuple[FeedLog, FeedLog], ...]:
        """Pairs of windows before the cut, as far apart as the two that are compared where the log is long enough."""
        width = self.span.end - self.span.start
        lags = np.arange(self.span.start - self.span.before, width - 1e-9, -width)
        for lag in (*lags, width):
            pairs = list(self._pairs(float(lag), width))
            if len(pairs) >= _MIN_PAIRS:
                return tuple(pairs)
        return ()

    @property
    def scale(self) -> float:
        """How much farther apart the compared windows are than the past pairs."""
        if not self.past:
            return 1.0
        before, after = self.past[0]
        return max(1.0, (self.span.start - self.span.before) / (after.start - before.start))

    def excesses(self, statistic: Statistic, floor: float) -> list[Excess]:
        """The differences over their limits, the largest relative to its limit first.

        A limit is a multiple of a quantile over the past pairs, and at least `floor`: robust, since a past fault or
        drift lies in a few pairs.
        """
        current = statistic(self.before, self.after)
        past = [statistic(*pair) for pair in self.past] if any(value > floor for value in current.values()) else []
        found = []
        for name, value in current.items():
            usual = np.array([pair.get(name, 0.0) for pair in past])
            learned = _FACTOR * self.scale * float(np.quantile(usual, _QUANTILE)) if len(usual) else 0.0
            limit = max(floor, learned)
            if value > limit:
                found.append(Excess(name, value, limit, float(usual.max()) if len(usual) else np.nan))
        return sorted(found, key=lambda excess: (-excess.ratio, excess.name))

    def _pairs(self, lag: float, width: float) -> Iterator[tuple[FeedLog, FeedLog]]:
        first = self.log.second[0] / 86_400 if self.log.num_rows else np.inf
        for number in range(self.span.num_past):
            start = self.span.cut - width - number * self.span.step
            if start - lag >= np.floor(first):
                yield self._window(start - lag), self._window(start)

    def _window(self, start: float) -> FeedLog:
        width = self.span.end - self.span.start
        if start not in self._windows:
            self._windows[start] = self.log.between(start, start + width)
        return self._windows[start]

    @cached_property
    def _windows(self) -> dict[float, FeedLog]:
        return {}


def change_point(before: IntArray | FloatArray, after: IntArray | FloatArray) -> int:
    """Day of the current window at which the mean of a daily series changed most, given the reference's days."""
    series = np.concatenate([before, after]).astype(float)
    best, day = -1.0, 0
    for candidate in range(max(1, len(after) - _MIN_TAIL_DAYS + 1)):
        split = len(before) + candidate
        left, right = series[:split], series[split:]
        if not len(left) or not len(right):
            continue
        size = abs(right.mean() - left.mean()) * np.sqrt(len(left) * len(right) / len(series))
        if size > best:
            best, day = size, candidate
    return day
