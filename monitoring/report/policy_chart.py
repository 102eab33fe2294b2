"""The retrain policies of a replay as points: CPU seconds to the right, regret upwards, as SVG coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def policy_points(policies: Sequence[Mapping[str, Any]]) -> list[PolicyPoint]:
    """A point for each of the policies, whose records have policy, cpu_seconds, regret.value and efficient."""
    seconds = max((one["cpu_seconds"] for one in policies), default=0.0) or 1.0
    regrets = [one["regret"]["value"] for one in policies]
    low, reach = min([0.0, *regrets]), (max([0.0, *regrets]) - min([0.0, *regrets])) or 1.0
    return [
        PolicyPoint(
            one["policy"],
            round(_MARGIN + (WIDTH - 2 * _MARGIN - _LABEL_WIDTH) * one["cpu_seconds"] / seconds, 1),
            round(HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * (one["regret"]["value"] - low) / reach, 1),
            one["efficient"],
        )
        for one in policies
    ]
