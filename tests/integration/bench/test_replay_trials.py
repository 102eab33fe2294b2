"""On a small synthetic shop a shift is detected in the first whole window after it, and not before."""

import numpy as np
import pytest

from benchmarks.drift.detection_trials import TrialWindows
from monitoring.simulation import faults, synthetic_drift
from monitoring.simulation.fault_period import FaultPeriod
from monitoring.simulation.policies import POLICIES
from monitoring.simulation.replay import Replay, ReplayClock, detection_delay
from monitoring.simulation.scenarios import apply_change, changes_of
from monitoring.simulation.world import ReplayWorld, synthetic_world
from tierrec_core.base.errors import SettingsError
from tierrec_core.settings import MonitorSettings

pytestmark = pytest.mark.slow

_SETTINGS = MonitorSettings(permutations=999)


@pytest.fixture(scope="module")
def world() -> ReplayWorld:
    return synthetic_world(3)


@pytest.mark.parametrize("name", ["interests", "diffuse", "new_category"])
def test_a_shift_is_seen_at_the_first_tick_after_it_and_not_before(world, name):
    clock = ReplayClock(world.start + 140, 28, 4)
    start = clock.ticks[1]
    result = Replay(apply_change(world, name, start, 0.4, 1), clock, _SETTINGS, 1).run(POLICIES["ours"])
    states = [step.decision.state for step in result.steps]
    assert states[:3] == ["steady", "steady", "drift"]
    assert result.steps[2].decision.retrain
    assert result.steps[2].cut == clock.ticks[2]
    assert detection_delay(result.steps, start) == 28


@pytest.mark.parametrize("name", ["missing_days", "stale", "foreign_items", "duplicates", "missing_kind", "few_bots"])
def test_a_fault_of_the_data_is_named_and_starts_no_retrain(world, name):
    clock = ReplayClock(world.start + 140, 28, 2)
    start = clock.ticks[0]
    span = FaultPeriod(world.between(-np.inf, start + 28), world.items, start, start + 28)
    broken = world.after(faults.FAULTS[name](span, np.random.default_rng(1)))
    replay = Replay(broken, clock, _SETTINGS, 1)
    decision = POLICIES["ours"](replay.context(clock.start, clock.ticks[1]), ())
    assert decision.state == "fault"
    assert not decision.retrain


def test_a_placebo_is_steady_and_the_same_windows_after_a_shift_are_not(world):
    quiet = TrialWindows.placebo(world, world.start + 196, _SETTINGS, 5)
    assert quiet.trial("placebo").state == "steady"
    moved = quiet.trial("interests", change=quiet.shifted(0.4, "diffuse"))
    assert moved.state == "drift"
    assert moved.alarms["ours"]
    assert moved.alarms["significance"]


def test_the_same_trial_comes_out_the_same(world):
    made = [TrialWindows.placebo(world, world.start + 196, _SETTINGS, 6) for _ in range(2)]
    left, right = (one.trial("interests", change=one.shifted(0.2, "concentrated")) for one in made)
    assert (left.state, left.reasons, left.families) == (right.state, right.reasons, right.families)


def test_every_change_that_has_a_name_is_applied(world):
    start = world.start + 196
    for name in changes_of(world.tiers.names):
        changed = apply_change(world, name, start, 0.2, 1)
        assert changed.change is not None
        assert changed.change.what
        assert not (changed.events.equals(world.events) and changed.items.equals(world.items)), name
    assert apply_change(world, "none", start, 0.2, 1) is world
    with pytest.raises(SettingsError, match="known are none, interests"):
        apply_change(world, "tea", start, 0.2, 1)


def test_a_season_that_returns_is_the_same_category_a_year_later():
    world = synthetic_world(4, num_users=60, num_items=40, days=500)
    change = synthetic_drift.add_season(
        world.events, world.items, starts=(world.start + 60, world.start + 424), rng=np.random.default_rng(0)
    )
    extra = change.events.merge(world.events, how="left", indicator=True)
    extra = extra[extra["_merge"] == "left_only"]
    kind = world.items.set_index("item_id")["category"]
    assert extra["item_id"].map(kind).nunique() == 1
    day = (extra["timestamp"] - world.events["timestamp"].min()).dt.total_seconds() / 86_400
    assert day[day < 200].between(59, 103).all()
    assert day[day > 200].between(423, 467).all()
    assert (day < 200).any()
    assert (day > 200).any()
