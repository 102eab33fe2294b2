"""Newcomers made of known users: hidden from the models, shown by little, and judged by all that they then took."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tierrec_core.data.splits import SplitLog
from tierrec_core.settings import SplitSettings, TaskSettings, TimeSplit
from tierrec_core.stages.inputs.training import SUPPORTS, SimulatedColdUsers, are_hidden, visible_history

SHARE, SEED = 0.2, 3
TASKS = {
    "next": TaskSettings(horizon_days=10, windows=2),
    "discovery": TaskSettings(horizon_days=20, windows=2, repeats=False),
}


@pytest.fixture(scope="module")
def log(events: pd.DataFrame) -> SplitLog:
    return SplitLog.cut(events, SplitSettings(by=TimeSplit(cut=0.8), min_users_per_item=2), TASKS)


@pytest.fixture(scope="module")
def hidden(log: SplitLog) -> np.ndarray:
    return np.flatnonzero(are_hidden(log.log.num_users, SHARE, SEED))


def test_models_of_earlier_moments_do_not_know_them_and_the_final_ones_do(log: SplitLog, hidden: np.ndarray):
    assert len(hidden) == SHARE * log.log.num_users
    for snapshot in log.snapshots:
        whole, known = log.history(snapshot.name), visible_history(log, snapshot.name, SHARE, SEED)
        unknown = np.bincount(whole.user, minlength=60) - np.bincount(known.user, minlength=60)
        assert set(np.flatnonzero(unknown)) == (set() if snapshot == log.final else set(whole.user) & set(hidden))
        assert known.now == whole.now


def test_with_a_share_of_nothing_everybody_is_known(log: SplitLog):
    first = log.snapshots[0].name
    np.testing.assert_array_equal(visible_history(log, first, 0.0, SEED).day, log.history(first).day)
    assert SimulatedColdUsers.of(log, log.windows[0], 0.0, SEED).history.num_users == 0


@pytest.mark.parametrize("task", list(TASKS))
def test_each_has_every_number_of_supports_and_its_truth(log: SplitLog, hidden: np.ndarray, task: str):
    window = log.windows_of(task, "valid")[0]
    found = SimulatedColdUsers.of(log, window, SHARE, SEED)
    whole, (user, item) = log.history(window.snapshot), log.truth(replace(window, repeats=True))
    rows = np.intersect1d(hidden, user)
    assert found.history.num_users == len(SUPPORTS) * len(rows)
    for copy in range(found.history.num_users):
        row, count = rows[copy % len(rows)], SUPPORTS[copy // len(rows)]
        shown = set(found.history.item[found.history.user == copy])
        assert len(shown) == min(count, len(set(whole.item[whole.user == row])))
        wanted = set(item[user == row]) - (set() if window.repeats else shown)
        assert set(found.truth[1][found.truth[0] == copy]) == wanted
