"""The loop's page: decisions, effects over time, promotion gates and releases, newest first, in one file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from monitoring.report.effect_timeline import (
    HEIGHT,
    MAX_WINDOWS,
    WIDTH,
    Record,
    effect_charts,
    effect_ratio,
    rank_findings,
)
from monitoring.report.leaderboard_view import task_order, tier_order
from monitoring.report.report import format_cell
from tierrec_core.base import artifacts

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
    """Challenger minus champion in one group: the value and its interval, on an axis from -reach to +reach."""

    task: str
    group: str
    users: int | None
    value: float
    low: float
    high: float
    reach: float

    @property
    def sign(self) -> str:
        """Better or worse where the interval excludes zero, else even."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "even"

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
) -> None:
    """Write the page. The same records give the same bytes, in any order.

    retrains: key, state and error of the retrains that decisions started
    serving: current champion, challenger (or None) and the challenger's share of users
    Links are relative to the page's folder.
    """
    newest_first = sorted(decisions, key=lambda one: (one["at"], one["key"]), reverse=True)
    environment = Environment(
        loader=PackageLoader("monitoring.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "act": lambda act: ACTS.get(act, act),
        "differences": difference_bars,
        "figure": format_cell,
        "timestamp": lambda at: at[:16].replace("T", " "),
        "ratio": effect_ratio,
        "in_unit": format_in_unit,
    }
    page = environment.get_template("loop.html.j2").render(
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
    )
    with artifacts.replacing_file(path) as file:
        file.write_text(page, encoding="utf-8")


def difference_bars(gate: Record) -> list[DifferenceBar]:
    """The paired intervals of a gate's report on one axis, each task before its tiers."""
    groups = []
    for task, parts in sorted(gate.get("tasks", {}).items(), key=lambda pair: task_order(pair[0])):
        groups.append((task, "all users", parts["overall"], parts.get("users")))
        tiers = sorted(parts["by_tier"], key=tier_order)
        groups += [(task, f"{tier} users", parts["by_tier"][tier], None) for tier in tiers]
    reach = max((abs(end) for *_, group, _ in groups for end in group["ci"]), default=0.0)
    return [
        DifferenceBar(task, name, group.get("users", users), group["value"], low, high, reach)
        for task, name, group, users in groups
        for low, high in [group["ci"]]
    ]


def format_in_unit(finding: Record, side: str) -> str:
    """The finding's value `before` or `after` in its family's unit."""
    value = float(finding[side])
    if finding["family"] in _SHARES:
        return f"{value:.1%}"
    return f"{value:+.3f}" if finding["family"] in ("moves", "arrivals") else f"{value:.2f}"
