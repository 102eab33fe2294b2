"""Figures of a log, against counts that can be read off the log."""

import numpy as np
import pandas as pd
import pytest

from monitoring.data_gate.validate import LogMeasures, quiet_days_share
from tierrec_core.settings import ValidateSettings

MONDAY = pd.Timestamp("2024-01-01", tz="UTC")


def daily(volumes: list[int]) -> pd.Series:
    """Timestamps with so many events on each day from a Monday on."""
    day = np.repeat(np.arange(len(volumes)), volumes)
    return pd.Series(MONDAY + pd.to_timedelta(day, unit="D") + pd.Timedelta(hours=9))


@pytest.mark.parametrize(
    ("volumes", "share"),
    [
        ([20] * 28, 0.0),
        ([20, 20, 20, 20, 20, 20, 0] * 4, 0.0),
        ([20] * 7 + [1, 20, 20, 20, 20, 20, 20] + [20] * 14, 1 / 28),
        ([20] * 7 + [2, 20, 20, 20, 20, 20, 20] + [20] * 14, 0.0),
        ([20] * 7 + [0] * 7 + [20] * 14, 7 / 28),
        ([], 0.0),
    ],
    ids=["even", "closed on Sundays", "one quiet Monday", "just at the limit", "a missing week", "no day"],
)
def test_quiet_days_are_held_against_their_own_weekday(volumes, share):
    assert quiet_days_share(daily(volumes), 0.1) == pytest.approx(share)


def test_bad_rows_count_as_bad_and_nowhere_else(events):
    bad = np.zeros(len(events), dtype=bool)
    bad[events["user_id"] == "u59"] = True
    measures = LogMeasures.of(events, bad, ValidateSettings())
    assert measures.num_events == len(events) - (events["user_id"] == "u59").sum()
    assert measures.num_users == 59
    assert measures.bad_share == pytest.approx((events["user_id"] == "u59").mean())


def test_duplicates_are_rows_equal_in_every_column(events):
    part = events.drop_duplicates()[:100]
    doubled = pd.concat([part, part[:25], part[:25].assign(value=-1.0)], ignore_index=True)
    measures = LogMeasures.of(doubled, np.zeros(150, dtype=bool), ValidateSettings())
    assert measures.duplicate_share == pytest.approx((25 + 0) / 150)


def test_a_day_is_a_day_in_utc(events):
    measures = LogMeasures.of(events, np.zeros(len(events), dtype=bool), ValidateSettings())
    assert measures.oldest_event == events["timestamp"].min()
    assert measures.newest_event == events["timestamp"].max()
    assert measures.frame().shape == (1, 8)
