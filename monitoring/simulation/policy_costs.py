"""What each retrain policy costs and loses on the same replay: CPU seconds against regret."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from monitoring.simulation.replay import ReplayResult, ndcg_loss
from tierrec_core.evaluation.bootstrap import ConfidenceInterval

BEST = "always"  # the policy against which regret is measured


@dataclass(frozen=True)
class PolicyCost:
    """One policy: its retrains, and NDCG@10 per list.

    cpu_seconds: of its checks, and of refits of the replay's model, which is cheaper than a project's models
    regret: NDCG@10 per user and tick below that of a retrain at every tick
    efficient: no other policy is superior in regret or CPU seconds and at least equal in both
    """

    policy: str
    retrains: int
    cpu_seconds: float
    ndcg: float
    regret: ConfidenceInterval
    efficient: bool = False


@dataclass(frozen=True)
class PolicyComparison:
    """All policies on one replay of a log.

    start, end: dates; every: days between decisions; change: what was added to the log, empty for nothing
    fresh: whether lists were made from users' events up to each decision, else up to the last retrain
    """

    log: str
    start: str
    end: str
    every: float
    seed: int
    change: str
    fresh: bool
    policies: tuple[PolicyCost, ...]


def policy_costs(results: Mapping[str, ReplayResult], seed: int) -> list[PolicyCost]:
    """The costs of each policy's result, in their order. results: of one replay, with that of BEST."""
    costs = [
        PolicyCost(
            name,
            result.retrains,
            round(result.retrain_seconds + result.watch_seconds, 2),
            round(float(np.concatenate([step.quality.ndcg for step in result.steps]).mean()), 6),
            ndcg_loss(result, results[BEST], seed),
        )
        for name, result in results.items()
    ]
    efficient = efficient_policies(costs)
    return [replace(cost, efficient=cost.policy in efficient) for cost in costs]


def efficient_policies(costs: Iterable[PolicyCost]) -> list[str]:
    """Names of the efficient ones, in their order."""
    figures = {cost.policy: (cost.cpu_seconds, cost.regret.value) for cost in costs}
    return [
        policy
        for policy, own in figures.items()
        if not any(other != own and other[0] <= own[0] and other[1] <= own[1] for other in figures.values())
    ]
