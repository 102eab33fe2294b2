"""What each retrain policy costs and loses on the same replay: CPU seconds against regret."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from monitoring.simulation.replay import ReplayResult, ndcg_loss
from tierrec_core.evaluation.bootstrap import ConfidenceInterval

BEST = "always"  # the policy against which regret is measured


@dataclass(frozen=True)
class PolicyCost:
    """One policy: its retrains, CPU seconds with its checks, and NDCG@10 per list.

    regret: NDCG@10 per user and tick below that of a retrain at every tick
    """

    policy: str
    retrains: int
    cpu_seconds: float
    ndcg: float
    regret: ConfidenceInterval


def policy_costs(results: Mapping[str, ReplayResult], seed: int) -> list[PolicyCost]:
    """The costs of each policy's result, in their order. results: of one replay, with that of BEST."""
    return [
        PolicyCost(
            name,
            result.retrains,
            round(result.retrain_seconds + result.watch_seconds, 2),
            round(float(np.concatenate([step.quality.ndcg for step in result.steps]).mean()), 6),
            ndcg_loss(result, results[BEST], seed),
        )
        for name, result in results.items()
    ]


def efficient_policies(costs: Iterable[PolicyCost]) -> list[str]:
    """Names of the policies to which no other is superior in regret or CPU seconds and at least equal in both."""
    best, names = np.inf, []
    for cost in sorted(costs, key=lambda cost: (cost.cpu_seconds, cost.regret.value)):
        if cost.regret.value < best:
            best = cost.regret.value
            names.append(cost.policy)
    return names
