"""Reads the split log, and derives the snapshots at which a propensity model trains and is evaluated."""

import numpy as np

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog
from tierrec_core.settings import SplitSettings, TimeSplit


def read_split(layout: Layout) -> SplitLog:
    """The output of the split stage. Raises ArtifactError when it is missing or damaged."""
    return artifacts.load(SplitLog, layout.split)


def evaluation_start(log: SplitLog, split: SplitSettings, horizon_days: float) -> float:
    """The first day of the test: the cut, or horizon_days before the end of the log if that is earlier.

    A split that is not by time has no cut: the newest horizon_days are the test. In production the log ends before it.
    """
    if not log.has_test:
        return log.log.now
    latest = log.log.now - horizon_days
    return min(log.final.bound, latest) if isinstance(split.by, TimeSplit) else latest


def snapshot_days(first: float, last: float, step_days: float) -> list[float]:
    """Days from `last` back to `first`, step_days apart, oldest first; none if last is before first."""
    return [float(day) for day in np.arange(last, first - 1e-9, -step_days)[::-1]]
