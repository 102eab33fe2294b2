"""The hindsight line against all plans tried one by one, and the sentence on the target."""

from itertools import combinations

import numpy as np
import pytest

from benchmarks.drift.frontier import hindsight_regrets, least_losses, reaction_looks, target_sentence
from monitoring.simulation.policies import POLICIES, PolicyDecision
from monitoring.simulation.replay import Replay, ReplayClock, ndcg_loss
from monitoring.simulation.world import synthetic_world
from tierrec_core.settings import MonitorSettings


def test_the_least_loss_is_that_of_the_best_of_all_plans():
    rng, ticks = np.random.default_rng(4), 6
    loss = rng.random((ticks + 1, ticks))
    loss[np.arange(ticks + 1)[:, None] > np.arange(ticks) + 1] = np.inf
    found = least_losses(loss)
    for number in range(ticks + 1):
        totals = []
        for plan in combinations(range(ticks), number):
            in_force = [max((tick + 1 for tick in plan if tick <= now), default=0) for now in range(ticks)]
            totals.append(sum(loss[row, now] for now, row in enumerate(in_force)))
        assert found[number] == pytest.approx(min(totals))


def test_the_line_is_below_every_policy_and_ends_at_always():
    world = synthetic_world(2, num_users=150, num_items=80, days=224)
    replay = Replay(world, ReplayClock(world.start + 140, 28, 2), MonitorSettings(permutations=199), 1)
    line = hindsight_regrets(replay)
    always, never = (replay.run(POLICIES[name]) for name in ("always", "never"))
    assert line[0] == pytest.approx(ndcg_loss(never, always, 1).value)
    assert line[2] == pytest.approx(0.0)
    once = [
        replay.run(lambda context, _past, day=day: PolicyDecision(context.end, context.end == day))
        for day in replay.clock.ticks
    ]
    assert line[1] == pytest.approx(min(ndcg_loss(one, always, 1).value for one in once))
    assert [reaction_looks(one, replay.clock.start) for one in (never, *once)] == [None, 1, 2]
    assert reaction_looks(once[0], replay.clock.ticks[0]) is None


@pytest.mark.parametrize(("least", "end"), [(0.0006, ": no choice of days reaches the target."), (0.0003, "0.00030.")])
def test_the_target_is_said_to_be_missed_and_whether_it_could_be_met(least, end):
    figures = {"hindsight_regrets": [0.005, 0.002, 0.001, 0.0008, least, 0.0003]}
    for name, retrains, seconds, regret in (("ours", 4, 120.0, 0.00084), ("monthly", 7, 33.0, 0.00038)):
        figures |= {f"{name}_retrains": retrains, f"{name}_cpu_seconds": seconds, f"{name}_regret": regret}
    sentence = target_sentence(figures, "")
    assert "missed (0.00084, 4 of 7 retrains, 120 of 33 CPU seconds)" in sentence
    assert sentence.endswith(end)
    assert "60% of its retrains and CPU seconds: met" in target_sentence(
        figures | {"ours_regret": 0.0003, "ours_cpu_seconds": 19.0}, ""
    )
