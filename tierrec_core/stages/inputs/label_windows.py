"""When a model that foretells the next days may learn, and from when it is judged."""

import numpy as np

from tierrec_core.data.splits import SplitLog
from tierrec_core.settings import SplitSettings, TimeSplit


def judged_from(log: SplitLog, split: SplitSettings, horizon_days: float) -> float:
    """The day from which such a model is judged: the cut, or earlier where the log ends too soon after it.

    A split that is no cut in time has no such day, so that the newest horizon_days are judged.
    """
    latest = log.log.now - horizon_days
    return min(log.final.bound, latest) if isinstance(split.by, TimeSplit) else latest


def moments(first: float, last: float, step_days: float) -> list[float]:
    """Days from `last` back to `first`, step_days apart, oldest first; none when last lies before first."""
    return [float(day) for day in np.arange(last, first - 1e-9, -step_days)[::-1]]
