"""Measures of a log as a whole, for the table rules and the report."""

from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray
from tierrec_core.settings import ValidateSettings

_WEEK = 7


@dataclass(frozen=True)
class LogMeasures:
    """Measures of a log; shares are of rows, or of days.

    All but bad_share and duplicate_share are over the valid rows.
    """

    num_events: int
    num_users: int
    num_items: int
    oldest_event: pd.Timestamp
    newest_event: pd.Timestamp
    bad_share: float
    duplicate_share: float
    quiet_days_share: float

    @classmethod
    def of(cls, events: pd.DataFrame, bad: BoolArray, settings: ValidateSettings) -> Self:
        """Measure EVENTS whose row r is bad where bad[r], [N]; N is at least 1."""
        good = events[~bad]
        return cls(
            num_events=len(good),
            num_users=good["user_id"].nunique(),
            num_items=good["item_id"].nunique(),
            oldest_event=good["timestamp"].min(),
            newest_event=good["timestamp"].max(),
            bad_share=float(bad.mean()),
            duplicate_share=float(events.duplicated().mean()),
            quiet_days_share=quiet_days_share(good["timestamp"], settings.min_day_share_of_median),
        )

    def frame(self) -> pd.DataFrame:
        """One row with a column per measure, for Great Expectations."""
        return pd.DataFrame([asdict(self)])


def quiet_days_share(timestamps: pd.Series, share_of_median: float) -> float:
    """Share of days, from the first to the last, with less than a share of their weekday's median volume.

    Days are compared with their own weekday, so that a shop may be closed on Sundays.
    """
    if timestamps.empty:
        return 0.0
    day = timestamps.dt.floor("D")
    days = pd.date_range(day.min(), day.max(), freq="D")
    volume = day.value_counts().reindex(days, fill_value=0).to_numpy()
    weekday = np.arange(len(days)) % _WEEK
    median = pd.Series(volume).groupby(weekday).transform("median").to_numpy()
    return float((volume < share_of_median * median).mean())
