"""Splits never leak: the known lies before the bound, the judged inside the window, items come from train."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import make_events
from tierrec_core.base.contracts import GUEST
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.data.interactions import from_days, to_days
from tierrec_core.data.splits import SplitLog
from tierrec_core.settings import GivenSplit, LeaveLastOut, SplitSettings, TaskSettings, TimeSplit

CUT = pd.Timestamp("2024-04-01", tz="UTC")
BY_DATE = SplitSettings(by=TimeSplit(cut=CUT.to_pydatetime()), min_users_per_item=2)
TASKS = {
    "next": TaskSettings(windows=3),
    "discovery": TaskSettings(horizon_days=28, step_days=28, repeats=False, windows=2),
}


@pytest.fixture(scope="module")
def log(events) -> SplitLog:
    return SplitLog.cut(events, BY_DATE, TASKS)


def pairs(frame: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(frame["user_id"], frame["item_id"], strict=True))


def named(log: SplitLog, truth) -> set[tuple[str, str]]:
    user, item = truth
    return set(zip(log.log.users[user], log.log.items[item], strict=True))


def test_windows_and_snapshots_are_in_order(log) -> None:
    roles = ["train", "valid", "test"]
    names = [window.name for window in log.windows_of("next", *roles)]
    assert names == ["next-3", "next-2", "next-1", "next-test"]
    assert [window.role for window in log.windows_of("discovery", *roles)] == roles
    bounds = [snapshot.bound for snapshot in log.snapshots]
    assert bounds == sorted(bounds)
    assert log.final.name == "2024-04-01"


def test_no_event_of_a_snapshot_lies_at_or_after_its_bound(log, events) -> None:
    for snapshot in log.snapshots:
        history = log.history(snapshot.name)
        assert history.day.max() < snapshot.bound == history.now
        known = events[(to_days(events["timestamp"]) < snapshot.bound) & events["item_id"].isin(log.log.items)]
        assert len(history) == len(known)


@pytest.mark.medium
def test_truth_equals_a_plain_filter(log, events) -> None:
    day = to_days(events["timestamp"])
    starts = {snapshot.name: snapshot.bound for snapshot in log.snapshots}
    for window in log.windows:
        start = starts[window.snapshot]
        known = events[events["item_id"].isin(log.log.items) & events["user_id"].isin(log.log.users)]
        before, inside = (day[known.index] < start, (day[known.index] >= start) & (day[known.index] < window.until))
        wanted = {pair for pair in pairs(known[inside]) if pair[0] in set(known[before]["user_id"])}
        wanted -= set() if window.repeats else pairs(known[before])
        assert named(log, log.truth(window)) == wanted


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), keep=st.floats(0.1, 1.0))
def test_the_future_changes_nothing_that_is_known(log, events, seed: int, keep: float) -> None:
    """Later events may move to other items, be repriced or dropped: every snapshot stays as it was."""
    rng = np.random.default_rng(seed)
    later = events["timestamp"] >= CUT
    changed = events.copy()
    changed.loc[later, "item_id"] = rng.permutation(events.loc[later, "item_id"].to_numpy())
    changed.loc[later, "value"] = rng.uniform(0, 100, later.sum())
    changed = changed[~later | (rng.random(len(events)) < keep)]
    again = SplitLog.cut(changed, BY_DATE, TASKS)
    assert again.log.items.equals(log.log.items)
    assert again.log.users.equals(log.log.users)
    for snapshot in log.snapshots:
        one, two = log.history(snapshot.name), again.history(snapshot.name)
        for field in ("user", "item", "day", "value"):
            np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


def test_items_have_enough_users_before_the_cut(events) -> None:
    found = SplitLog.cut(events, SplitSettings(by=BY_DATE.by, min_users_per_item=15), TASKS).log.items
    known = events[events["timestamp"] < CUT]
    users = known.groupby("item_id")["user_id"].nunique()
    assert set(found) == set(users.index[users >= 15])


def test_a_share_cuts_at_the_start_of_a_day(events) -> None:
    by = SplitSettings(by=TimeSplit(cut=0.8), min_users_per_item=2)
    log = SplitLog.cut(events, by, {"next": TaskSettings(windows=2)})
    assert log.final.bound == np.floor(log.final.bound)
    assert (to_days(events["timestamp"]) < log.final.bound).mean() == pytest.approx(0.8, abs=0.02)


def test_a_cut_by_rule_moves_with_the_newest_event(events) -> None:
    rule = SplitSettings(by=TimeSplit(cut="last 28 days"), min_users_per_item=2)
    newest = events["timestamp"].max().floor("D")
    for days in (0, 3):
        known = events[events["timestamp"] < newest + pd.Timedelta(days=1 - days)]
        fixed = TimeSplit(cut=(newest + pd.Timedelta(days=1 - days - 28)).to_pydatetime())
        log = SplitLog.cut(known, rule, TASKS)
        again = SplitLog.cut(known, SplitSettings(by=fixed, min_users_per_item=2), TASKS)
        assert log.windows == again.windows
        assert log.snapshots == again.snapshots


EVERY_SPLIT = pytest.mark.parametrize("by", [TimeSplit(cut="last 28 days"), LeaveLastOut(), GivenSplit()])


@EVERY_SPLIT
def test_production_has_all_events_and_no_test(events, by) -> None:
    events = events.assign(split=np.where(np.arange(len(events)) % 5, "train", "test"))
    split = SplitSettings(by=by, min_users_per_item=2)
    shown = events.head(50).assign(event="impression", item_id="shown")
    log = SplitLog.whole(pd.concat([events, shown]), split, TASKS, guests=events.head(9).assign(user_id=GUEST))
    history = log.history(log.final.name)
    users = events.groupby("item_id")["user_id"].nunique()
    kept = events[events["item_id"].isin(users.index[users >= 2])]
    assert list(history.items) == sorted(kept["item_id"].unique())
    assert list(history.users) == sorted(kept["user_id"].unique())
    assert len(history) == len(log.log) == len(kept)
    assert history.now == log.log.now == np.nextafter(to_days(kept["timestamp"]).max(), np.inf)
    assert len(log.guest_history(log.final.name)) == events.head(9)["item_id"].isin(history.items).sum()
    assert not log.has_test
    for task, options in TASKS.items():
        window = log.final_window(task)
        assert (window.snapshot, window.repeats) == (log.final.name, options.repeats)
        assert not len(log.truth(window)[0])


@EVERY_SPLIT
def test_the_final_window_of_an_evaluation_is_the_test(events, by) -> None:
    events = events.assign(split=np.where(np.arange(len(events)) % 5, "train", "test"))
    log = SplitLog.cut(events, SplitSettings(by=by, min_users_per_item=2), TASKS)
    assert log.has_test
    assert [log.final_window(task) for task in TASKS] == [log.windows_of(task, "test")[0] for task in TASKS]


def test_leave_last_out_holds_each_users_last_event(events) -> None:
    by = SplitSettings(by=LeaveLastOut(), min_users_per_item=1)
    log = SplitLog.cut(events, by, {"next": TaskSettings(windows=2)})
    last = events.sort_values("timestamp", kind="stable").groupby("user_id").tail(1)
    catalogue = last[last["item_id"].isin(log.log.items)]
    assert named(log, log.truth(log.windows_of("next", "test")[0])) == pairs(catalogue)
    second = events.drop(last.index).sort_values("timestamp", kind="stable").groupby("user_id").tail(1)
    known = second[second["item_id"].isin(log.log.items)]
    assert named(log, log.truth(log.windows_of("next", "valid")[0])) == pairs(known)


def test_a_given_split_is_obeyed(events) -> None:
    marked = events.assign(split=np.where(np.arange(len(events)) % 5 == 0, "test", "train"))
    log = SplitLog.cut(marked, SplitSettings(by=GivenSplit(), min_users_per_item=1), {"next": TaskSettings(windows=2)})
    test = marked[(marked["split"] == "test") & marked["item_id"].isin(log.log.items)]
    assert named(log, log.truth(log.windows_of("next", "test")[0])) == pairs(test)
    assert len(log.history(log.final.name)) == (marked["split"] == "train").sum()


@pytest.mark.parametrize("by", [BY_DATE.by, LeaveLastOut(), GivenSplit()], ids=lambda by: by.kind)
def test_guests_count_for_items_and_for_no_user(events, by) -> None:
    events = events.assign(split=np.where(events["timestamp"] < CUT, "train", "test"))
    is_guest = events["user_id"].isin(["u00", "u07", "u31"])
    users, guests = events[~is_guest], events[is_guest].assign(user_id=GUEST)
    split, tasks = SplitSettings(by=by, min_users_per_item=1), {"next": TaskSettings(windows=2)}
    log, alone = SplitLog.cut(users, split, tasks, guests), SplitLog.cut(users, split, tasks)
    assert list(log.log.users) == sorted(users["user_id"].unique())
    assert list(log.log.items) == list(alone.log.items)
    assert len(alone.guest_history(alone.final.name)) == 0
    history = log.guest_history(log.final.name)
    moment = CUT if by.kind != "leave_last_out" else from_days(history.now)
    known = guests[(guests["timestamp"] < moment) & guests["item_id"].isin(log.log.items)]
    assert sorted(log.log.items[history.item]) == sorted(known["item_id"])
    assert history.now == log.history(log.final.name).now
    if by.kind == "time":
        early = known[known["timestamp"] < pd.Timestamp(log.snapshots[0].name, tz="UTC")]
        assert sorted(log.log.items[log.guest_history(log.snapshots[0].name).item]) == sorted(early["item_id"])


def test_errors_name_what_to_change(events) -> None:
    day = SplitSettings(by=TimeSplit(cut=pd.Timestamp("2025-01-01").to_pydatetime()), min_users_per_item=2)
    with pytest.raises(EmptyDataError, match=r"task 'next' has no purchase event.*split\.by\.cut"):
        SplitLog.cut(events, day, TASKS)
    with pytest.raises(EmptyDataError, match=r"no event is before the cut; move split\.by\.cut"):
        SplitLog.cut(events, SplitSettings(by=TimeSplit(cut="last 9999 days")), TASKS)
    with pytest.raises(EmptyDataError, match=r"no events but impressions.*source\.events"):
        SplitLog.cut(events.assign(event="impression"), BY_DATE, TASKS)
    given = SplitSettings(by=GivenSplit(), min_users_per_item=1)
    for name, found in ((pd.NA, "empty"), ("test", r"test \(\d+ events\)"), ("Test", r"Test \(\d+ events\)")):
        with pytest.raises(EmptyDataError, match=f"the events' split is {found}.*source.columns.split.*kind: time"):
            SplitLog.cut(events.assign(split=pd.Series(name, events.index, dtype="string")), given, TASKS)
    with pytest.raises(EmptyDataError, match="1 user has events"):
        SplitLog.cut(events.assign(user_id="u00"), SplitSettings(by=BY_DATE.by, min_users_per_item=1), TASKS)
    with pytest.raises(EmptyDataError, match=r"1 of 1 items.*min_users_per_item"):
        SplitLog.cut(events.assign(item_id="i00"), BY_DATE, TASKS)
    with pytest.raises(EmptyDataError, match="no earlier window"):
        SplitLog.cut(events, BY_DATE, {"next": TaskSettings(horizon_days=300)})


def test_another_world_has_other_windows_but_the_same_rules() -> None:
    log = SplitLog.cut(make_events(seed=5), BY_DATE, TASKS)
    assert all(len(log.truth(window)[0]) for window in log.windows)


def test_no_earlier_window_reaches_into_the_test(events) -> None:
    tasks = {"next": TaskSettings(horizon_days=28, step_days=7, windows=4)}
    log = SplitLog.cut(events, BY_DATE, tasks)
    valid, train = log.windows_of("next", "valid")[0], log.windows_of("next", "train")
    assert len(train) == 3
    assert all(window.until <= log.final.bound for window in [valid, *train])
    assert [log.ends_before(window, valid) for window in train] == [False, False, False]
