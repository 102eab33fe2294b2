"""A replay is deterministic, uses no future events, and its figures equal plain computations."""

from dataclasses import replace

import numpy as np
import pytest

from monitoring.simulation.policies import POLICIES, PolicyDecision, RetrainPolicy
from monitoring.simulation.replay import Replay, ReplayClock, detection_delay, ndcg_loss
from monitoring.simulation.world import ReplayWorld, synthetic_world
from tierrec_core.data.interactions import to_days
from tierrec_core.settings import MonitorSettings

_SETTINGS = MonitorSettings(permutations=199)


def retrain_at(*ticks: float) -> RetrainPolicy:
    """Retrains at given ticks."""
    return lambda context, _past: PolicyDecision(context.end, context.end in ticks)


@pytest.fixture(scope="module")
def world() -> ReplayWorld:
    return synthetic_world(2, num_users=150, num_items=80, days=224)


@pytest.fixture(scope="module")
def replay(world: ReplayWorld) -> Replay:
    return Replay(world, ReplayClock(world.start + 140, 28, 2), _SETTINGS, 1)


def _ndcg_by_hand(replay: Replay, cut: float, tick: float) -> dict[str, float]:
    """From the model's scores and the log itself."""
    world, model = replay.world, replay.model(cut)
    table = world.events.assign(day=to_days(world.events["timestamp"]))
    old = set(table.loc[table["day"] < replay.clock.start, "user_id"])
    then = table[(table["day"] >= tick) & (table["day"] < tick + replay.clock.step)]
    wanted = then[then["event"] == "purchase"].groupby("user_id")["item_id"].agg(set)
    past = world.log.before(tick)
    found = {}
    for user, items in wanted.items():
        if user not in old:
            continue
        row = np.array([past.users.get_loc(user)])
        listed = [past.items[column] for column in model.canary.lists(past, row, 10)[0] if column >= 0]
        gain = sum(1 / np.log2(rank + 2) for rank, item in enumerate(listed) if item in items)
        found[user] = gain / sum(1 / np.log2(rank + 2) for rank in range(min(10, len(items))))
    return found


def test_quality_is_the_ndcg_of_what_users_did_until_the_next_tick(replay):
    cut, tick = replay.clock.start, replay.clock.ticks[1]
    quality = replay.quality(cut, tick)
    expected = _ndcg_by_hand(replay, cut, tick)
    users = replay.world.log.users[quality.users]
    assert list(users) == sorted(expected)
    np.testing.assert_allclose(quality.ndcg, [expected[user] for user in users], atol=1e-12)
    assert 0.1 < quality.ndcg.mean() < 1


def test_two_replays_of_the_same_seed_are_the_same(world, replay):
    again = Replay(world, replay.clock, _SETTINGS, 1)
    for name in ("ours", "always"):
        one, other = replay.run(POLICIES[name]), again.run(POLICIES[name])
        assert [step.decision for step in one.steps] == [step.decision for step in other.steps]
        for left, right in zip(one.steps, other.steps, strict=True):
            np.testing.assert_array_equal(left.quality.ndcg, right.quality.ndcg)


def test_nothing_depends_on_events_after_the_last_judged_day(world, replay):
    end = replay.clock.ticks[-1] + replay.clock.step
    blind = Replay(replace(world, events=world.between(-np.inf, end)), replay.clock, _SETTINGS, 1)
    for name in ("ours", "never"):
        one, other = replay.run(POLICIES[name]), blind.run(POLICIES[name])
        assert [step.decision for step in one.steps] == [step.decision for step in other.steps]
        assert [step.quality.ndcg.mean() for step in one.steps] == pytest.approx(
            [step.quality.ndcg.mean() for step in other.steps], abs=1e-12
        )


def test_a_decision_does_not_see_beyond_its_tick(world, replay):
    tick = replay.clock.ticks[0]
    cut_off = Replay(replace(world, events=world.between(-np.inf, tick)), replay.clock, _SETTINGS, 1)
    seen = [one.context(replay.clock.start, tick) for one in (replay, cut_off)]
    assert POLICIES["ours"](seen[0], ()) == POLICIES["ours"](seen[1], ())


def test_never_costs_nothing_and_always_loses_nothing(replay):
    never, always = replay.run(POLICIES["never"]), replay.run(POLICIES["always"])
    assert (never.retrains, never.retrain_seconds) == (0, 0.0)
    assert always.retrains == replay.clock.num_ticks
    assert always.retrain_seconds > 0
    regret = ndcg_loss(always, always, seed=1)
    assert (regret.value, regret.low, regret.high) == (0.0, 0.0, 0.0)


def test_monthly_retrains_when_the_model_is_a_month_old(world):
    replay = Replay(world, ReplayClock(world.start + 112, 14, 5), _SETTINGS, 1)
    retrains = [step.decision.retrain for step in replay.run(POLICIES["monthly"]).steps]
    assert retrains == [False, True, False, True, False]


def test_a_retrain_puts_the_new_model_in_force_until_the_next(replay):
    first, second = replay.clock.ticks
    result = replay.run(retrain_at(first))
    assert [step.cut for step in result.steps] == [first, first]
    assert [step.cut for step in replay.run(retrain_at(second)).steps] == [replay.clock.start, second]


def test_regret_is_the_mean_difference_over_users_and_ticks(replay):
    never, always = replay.run(POLICIES["never"]), replay.run(POLICIES["always"])
    difference = np.concatenate(
        [theirs.quality.ndcg - mine.quality.ndcg for mine, theirs in zip(never.steps, always.steps, strict=True)]
    )
    regret = ndcg_loss(never, always, seed=1)
    assert regret.value == pytest.approx(difference.mean())
    assert regret.low <= regret.value <= regret.high
    late = ndcg_loss(never, always, seed=1, since=replay.clock.ticks[1])
    only = always.steps[1].quality.ndcg - never.steps[1].quality.ndcg
    assert late.value == pytest.approx(only.mean())


def test_delay_counts_days_to_the_first_tick_with_drift(replay):
    result = replay.run(retrain_at())
    steps = [
        replace(step, decision=PolicyDecision(step.decision.end, False, state))
        for step, state in zip(result.steps, ("steady", "drift"), strict=True)
    ]
    assert detection_delay(steps, replay.clock.start + 30) == replay.clock.ticks[1] - replay.clock.start - 30
    assert detection_delay(steps[:1], replay.clock.start) is None
