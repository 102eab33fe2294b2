"""The canary finds what newer training gains where a shop changed, nothing where it did not, and says what it lacks."""

import numpy as np
import pandas as pd
import pytest

from monitoring.drift import CanaryTask, run_canary
from monitoring.drift.canary import WIDTH, CanaryModel
from monitoring.simulation.world import ReplayWorld, synthetic_world
from tierrec_core.data.interactions import Interactions, to_days

TASK = CanaryTask(("purchase",), repeats=True, min_users_per_item=2)
CUT, END = 70.0, 105.0  # days of the log


@pytest.fixture(scope="module")
def steady() -> ReplayWorld:
    return synthetic_world(2, num_users=250, num_items=90, days=112)


@pytest.fixture(scope="module")
def launched(steady: ReplayWorld) -> ReplayWorld:
    """Every third item comes to the shop after the champion was trained."""
    launched = steady.events["item_id"].isin(steady.items["item_id"][::3])
    early = to_days(steady.events["timestamp"]) < steady.start + CUT
    return ReplayWorld("launched", steady.events[~(launched & early)], steady.items)


@pytest.fixture(scope="module")
def large(launched: ReplayWorld) -> ReplayWorld:
    """21 copies of every user, more than the canary draws."""
    copies = [launched.events.assign(user_id=launched.events["user_id"] + f" {number}") for number in range(21)]
    return ReplayWorld("large", pd.concat(copies, ignore_index=True), launched.items)


def run(world: ReplayWorld, *, cut: float = CUT, end: float = END, task: CanaryTask = TASK):
    return run_canary(world.events, world.start + cut, world.start + end, task, seed=1)


def test_items_that_the_champion_lacks_are_a_gain_beyond_chance(launched):
    result = run(launched)
    assert result.gain.low > 0.02
    assert result.num_users > 100
    assert result.cpu_seconds > 0


def test_where_nothing_changed_the_interval_holds_zero(steady):
    gain = run(steady).gain
    assert gain.low <= 0 <= gain.high
    assert abs(gain.value) < 0.01


def test_the_gain_is_the_difference_of_both_models_lists_on_the_week(launched):
    day = to_days(launched.events["timestamp"]) - launched.start
    table = launched.events.assign(day=day)
    week = table[(day >= END - WIDTH) & (day < END) & (table["event"] == "purchase")]
    bought = week.groupby("user_id")["item_id"].agg(set)
    log = Interactions.from_events(launched.events[~launched.events["event"].isin(["impression", "redeem"])])
    past = log.before(launched.start + END - WIDTH)
    found = {}
    for name, cut in (("older", CUT), ("newer", END - WIDTH)):
        model = CanaryModel.fit(log, launched.start + cut, TASK)
        lists = model.lists(past, np.arange(past.num_users), 10)
        ids = np.where(lists >= 0, past.items.to_numpy()[lists], "")
        found[name] = [
            sum(1 / np.log2(rank + 2) for rank, item in enumerate(ids[past.users.get_loc(user)]) if item in items)
            / sum(1 / np.log2(rank + 2) for rank in range(min(10, len(items))))
            for user, items in bought.items()
            if user in set(past.users[np.diff(past.offsets) > 0])
        ]
    result = run(launched)
    assert result.num_users == len(found["older"])
    assert result.gain.value == pytest.approx(np.mean(found["newer"]) - np.mean(found["older"]))


def test_events_after_the_window_and_the_order_of_rows_change_nothing(launched):
    shuffled = launched.events[to_days(launched.events["timestamp"]) < launched.start + END].sample(
        frac=1.0, random_state=3
    )
    assert run(ReplayWorld("shuffled", shuffled, launched.items)) == run(launched)


def test_the_newer_canary_does_not_learn_from_the_week_in_which_it_is_judged(launched):
    assert run(launched).newer == launched.start + END - WIDTH


def test_a_shop_that_does_not_repeat_is_ranked_without_what_users_have(launched):
    task = CanaryTask(("purchase",), repeats=False, min_users_per_item=2)
    assert run(launched, task=task).gain != run(launched).gain


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"cut": END - WIDTH}, "it would train up to"),
        ({"cut": END - 3}, "it would train up to"),
        ({"cut": 0.0}, "no item with 2 users before"),
        ({"end": 200.0}, "fewer than 50 users"),
        ({"task": CanaryTask(("rating",), True, 2)}, "fewer than 50 users"),
        ({"task": CanaryTask(("purchase",), True, 10_000)}, "no item with 10000 users"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_measured(launched, options, reason):
    result = run(launched, **options)
    assert result.gain is None
    assert result.reason.startswith(reason)


def test_a_damaged_log_is_a_reason_and_no_crash(launched):
    days = [launched.start + day for day in (CUT, END)]
    damaged = run_canary(launched.events.drop(columns="session_id"), *days, TASK, 1)
    assert (damaged.gain, damaged.reason) == (None, "'session_id'")
    assert run_canary(launched.events[:0], *days, TASK, 1).gain is None


def test_a_large_shop_is_sampled_by_whole_users(large):
    result = run(large)
    assert 1000 < result.num_users < 5000
    assert result.gain.low > 0.02


def test_the_items_of_a_large_shop_are_those_with_enough_users_of_the_whole_shop(launched, large):
    before = launched.log.before(launched.start + CUT)
    most = 21 * int(np.bincount(before.unique_pairs()[1]).max())  # more than the sample has
    assert run(large, task=CanaryTask(("purchase",), True, most)).gain is not None
