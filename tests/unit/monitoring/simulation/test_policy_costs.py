"""Costs of policies: figures as plain means, and a frontier as pairwise comparison finds it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.simulation.policies import POLICIES
from monitoring.simulation.policy_costs import PolicyCost, efficient_policies, policy_costs
from monitoring.simulation.replay import Replay, ReplayClock
from monitoring.simulation.world import synthetic_world
from tierrec_core.evaluation.bootstrap import ConfidenceInterval
from tierrec_core.settings import MonitorSettings

_FIGURES = st.tuples(st.integers(0, 5), st.integers(-3, 3))


@given(st.lists(_FIGURES, min_size=1, max_size=8))
def test_on_the_frontier_no_other_policy_is_superior(figures: list[tuple[int, int]]) -> None:
    costs = [
        PolicyCost(f"policy {row}", 1, float(seconds), 0.1, ConfidenceInterval(float(regret), 0.0, 0.0))
        for row, (seconds, regret) in enumerate(figures)
    ]
    assert efficient_policies(costs) == [
        f"policy {row}"
        for row, (seconds, regret) in enumerate(figures)
        if not any(s <= seconds and r <= regret and (s < seconds or r < regret) for s, r in figures)
    ]


def test_the_costs_are_those_of_the_results() -> None:
    world = synthetic_world(2, num_users=150, num_items=80, days=196)
    replay = Replay(world, ReplayClock(world.start + 112, 28, 2), MonitorSettings(permutations=199), 1)
    results = {name: replay.run(POLICIES[name]) for name in ("never", "always")}
    never, always = policy_costs(results, 1)
    assert (never.policy, never.retrains, always.policy, always.retrains) == ("never", 0, "always", 2)
    assert (always.regret.value, always.regret.low, always.regret.high) == (0.0, 0.0, 0.0)
    ndcg = {name: np.concatenate([step.quality.ndcg for step in result.steps]) for name, result in results.items()}
    assert never.ndcg == pytest.approx(ndcg["never"].mean(), abs=1e-6)
    assert never.regret.value == pytest.approx((ndcg["always"] - ndcg["never"]).mean(), abs=1e-9)
    assert always.cpu_seconds > never.cpu_seconds >= 0
