"""Snapshots at which a propensity model trains, and the day from which it is evaluated."""

import numpy as np

from tierrec_core.data.splits import SplitLog
from tierrec_core.settings import SplitSettings, TimeSplit


def evaluation_start(log: SplitLog, split: SplitSettings, horizon_days: float) -> float:
    """The first day of the test: the cut, or horizon_days before the end of the log if that is earlier.

    A split that is not by time has no cut, so that the newest horizon_days are the test.
    """
    latest = log.log.now - horizon_days
    return min(log.final.bound, latest) if isinstance(split.by, TimeSplit) else latest


def snapshot_days(first: float, last: float, step_days: float) -> list[float]:
    """Days from `last` back to `first`, step_days apart, oldest first; none if last is before first."""
    return [float(day) for day in np.arange(last, first - 1e-9, -step_days)[::-1]]
