"""Windows without drift: each user's baskets reassigned at random between two adjacent windows."""

import numpy as np
import pandas as pd

from monitoring.simulation.synthetic_drift import add_seconds, basket_codes
from tierrec_core.data.interactions import to_days


def reassign_baskets(events: pd.DataFrame, *, start: float, width: float, rng: np.random.Generator) -> pd.DataFrame:
    """Reassign the baskets of the two windows of `width` days from day `start` on; other events stay.

    A basket that changes window keeps its weekday and hour where the width is whole weeks. The windows are
    exchangeable by construction, so that any detection is a false alarm.
    """
    day = to_days(events["timestamp"])
    inside = np.flatnonzero((day >= start) & (day < start + 2 * width))
    basket, owner = basket_codes(events.iloc[inside])
    opens = np.full(len(owner), np.inf)
    np.minimum.at(opens, basket, day[inside])
    in_second = opens >= start + width
    to_second = rng.random(len(owner)) < 0.5
    shift = np.zeros(len(events))
    shift[inside] = ((to_second.astype(float) - in_second) * width)[basket]
    reassigned = events.assign(timestamp=add_seconds(events["timestamp"], 86_400 * shift))
    return reassigned.sort_values("timestamp", kind="stable").reset_index(drop=True)
