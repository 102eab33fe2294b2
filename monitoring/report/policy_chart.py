"""The retrain policies of a replay as points: CPU seconds to the right, regret upwards, as SVG coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass

from monitoring.simulation.policy_costs import PolicyCost

WIDTH, HEIGHT = 560, 240  # in SVG units
_MARGIN = 16
_LABEL_WIDTH = 110  # right of a point


@dataclass(frozen=True)
class PolicyPoint:
    """One policy. x, y: in SVG units; efficient: no other policy is at least as good in both and better in one."""

    policy: str
    x: float
    y: float
    efficient: bool


def policy_points(costs: Sequence[PolicyCost]) -> list[PolicyPoint]:
    """A point for each of the policies."""
    seconds = max((cost.cpu_seconds for cost in costs), default=0.0) or 1.0
    regrets = [0.0, *(cost.regret.value for cost in costs)]
    low, reach = min(regrets), (max(regrets) - min(regrets)) or 1.0
    return [
        PolicyPoint(
            cost.policy,
            round(_MARGIN + (WIDTH - 2 * _MARGIN - _LABEL_WIDTH) * cost.cpu_seconds / seconds, 1),
            round(HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * (cost.regret.value - low) / reach, 1),
            cost.efficient,
        )
        for cost in costs
    ]
