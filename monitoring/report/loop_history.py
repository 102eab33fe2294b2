"""The loop's page: decisions, effects over time, promotion gates and releases, newest first, in one file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitoring.report.effect_timeline import (
    HEIGHT,
    MAX_WINDOWS,
    WIDTH,
    Record,
    effect_charts,
    effect_ratio,
    rank_findings,
)
from monitoring.report.html import render_template, write_page
from monitoring.report.json_blocks import order_keys
from monitoring.report.leaderboard_view import FigureWithInterval, task_order
from monitoring.report.policy_chart import HEIGHT as POLICY_HEIGHT
from monitoring.report.policy_chart import WIDTH as POLICY_WIDTH
from monitoring.report.policy_chart import policy_points
from monitoring.simulation.policy_costs import PolicyComparison

_MAX_FINDINGS = 12
_MAX_CARDS = 20  # newest decisions in full; older ones are rows of a table
_SHARES = ("shares", "interests", "transitions", "new_items", "unseen_categories", "online")
ACTS: Mapping[str, str] = {
    "retrain": "retrain",
    "none": "nothing to do",
    "wait": "wait",
    "fault": "fix the data first",
    "held": "on hold",
}


@dataclass(frozen=True)
class DifferenceBar:
    """Challenger minus champion in one group, on an axis from -reach to +reach."""

    task: str
    group: str
    users: int | None
    difference: FigureWithInterval
    reach: float

    def percent(self, value: float) -> float:
        """Position on the axis, in percent of its length."""
        return round(50 + 50 * value / self.reach, 1) if self.reach else 50.0


def write_loop_page(
    decisions: Sequence[Record],
    gates: Sequence[Record],
    releases: Sequence[Record],
    path: Path,
    *,
    retrains: Sequence[Record] = (),
    serving: Record | None = None,
    replay: PolicyComparison | None = None,
) -> None:
    """Write the page. The same records give the same bytes, in any order.

    retrains: key, state and error of the retrains that decisions started
    serving: current champion, challenger (or None) and the challenger's share of users
    replay: the policies that `tierrec simulate --policy all` compared on the project's log
    Links are relative to the page's folder.
    """
    newest_first = sorted(decisions, key=lambda decision: (decision["at"], decision["key"]), reverse=True)
    page = render_template(
        "loop.html.j2",
        {
            "act": lambda act: ACTS.get(act, act),
            "differences": difference_bars,
            "timestamp": lambda at: at[:16].replace("T", " "),
            "ratio": effect_ratio,
            "in_unit": format_in_unit,
        },
        decisions=newest_first[:_MAX_CARDS],
        older=newest_first[_MAX_CARDS:],
        findings=rank_findings(newest_first[0]["findings"])[:_MAX_FINDINGS] if newest_first else [],
        charts=effect_charts(decisions),
        size=(WIDTH, HEIGHT),
        max_windows=MAX_WINDOWS,
        gates=sorted(gates, key=lambda gate: (gate["window"]["end"], gate["challenger"]), reverse=True),
        releases=sorted(releases, key=lambda release: (release["at"], release["tag"]), reverse=True),
        outcomes={retrain["key"]: retrain for retrain in retrains},
        serving=serving,
        replay=replay,
        points=policy_points(replay.policies) if replay else [],
        policy_size=(POLICY_WIDTH, POLICY_HEIGHT),
    )
    write_page(page, path)


def difference_bars(gate: Record) -> list[DifferenceBar]:
    """The paired intervals of a gate's report on one axis, each task before its tiers."""
    groups = []
    for task, parts in sorted(gate.get("tasks", {}).items(), key=lambda pair: task_order(pair[0])):
        groups.append((task, "all users", parts["overall"], parts.get("users")))
        by_tier = order_keys(parts["by_tier"], gate.get("tiers", ()))
        groups += [(task, f"{tier} users", part, part.get("users")) for tier, part in by_tier.items()]
    reach = max((abs(end) for *_, part, _ in groups for end in part["ci"]), default=0.0)
    return [
        DifferenceBar(task, name, users, FigureWithInterval(part["value"], *part["ci"]), reach)
        for task, name, part, users in groups
    ]


def format_in_unit(finding: Record, side: str) -> str:
    """The finding's value `before` or `after` in its family's unit."""
    value = float(finding[side])
    if finding["family"] in _SHARES:
        return f"{value:.1%}"
    return f"{value:+.3f}" if finding["family"] in ("moves", "arrivals") else f"{value:.2f}"
