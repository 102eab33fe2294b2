"""The loop at a glance, as one self-contained page: decisions, effects over time, gates and releases, newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from monitoring.report.effect_timeline import HEIGHT, WIDTH, WINDOWS, Record, charts, loudest, ratio
from monitoring.report.leaderboard_view import task_order
from monitoring.report.report import figure
from tierrec_core.base import artifacts

_FINDINGS = 12
_CARDS = 20  # decisions told in full; older ones are lines of a table
_SHARES = ("shares", "interests", "transitions", "new_items", "unseen_categories", "online")
_TIERS = ("light", "medium", "heavy")
ACTS: Mapping[str, str] = {
    "retrain": "retrain",
    "none": "nothing to do",
    "wait": "wait",
    "fault": "mend the data first",
    "held": "held by a person",
}


@dataclass(frozen=True)
class DifferenceBar:
    """Challenger minus champion in one group: the value and its interval, on an axis that reaches so far from zero."""

    task: str
    group: str
    users: int | None
    value: float
    low: float
    high: float
    reach: float

    @property
    def sign(self) -> str:
        """Better or worse where the interval says so."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "even"

    def percent(self, value: float) -> float:
        """Place on an axis from -reach to +reach."""
        return round(50 + 50 * value / self.reach, 1) if self.reach else 50.0


def render(
    decisions: Sequence[Record],
    gates: Sequence[Record],
    releases: Sequence[Record],
    path: Path,
    *,
    retrains: Sequence[Record] = (),
    serving: Record | None = None,
) -> None:
    """Write the page. The same records give the same bytes, in whatever order they come.

    retrains: key, state and error of what decisions led to
    serving: champion, challenger (or None) and its share of users, now
    Links lead to what lies below the page's folder.
    """
    newest_first = sorted(decisions, key=lambda one: (one["at"], one["key"]), reverse=True)
    page = (
        _environment()
        .get_template("loop.html.j2")
        .render(
            decisions=newest_first[:_CARDS],
            older=newest_first[_CARDS:],
            findings=loudest(newest_first[0]["findings"])[:_FINDINGS] if newest_first else [],
            charts=charts(decisions),
            size=(WIDTH, HEIGHT),
            windows=WINDOWS,
            gates=sorted(gates, key=lambda one: (one["window"]["end"], one["challenger"]), reverse=True),
            releases=sorted(releases, key=lambda one: (one["at"], one["tag"]), reverse=True),
            outcomes={one["key"]: one for one in retrains},
            serving=serving,
        )
    )
    with artifacts.replacing_file(path) as fresh:
        fresh.write_text(page, encoding="utf-8")


def differences(gate: Record) -> list[DifferenceBar]:
    """The paired intervals of a gate's report on one axis, each task before its tiers, light before heavy."""
    found = []
    for task, parts in sorted(gate.get("tasks", {}).items(), key=lambda pair: task_order(pair[0])):
        found.append((task, "all users", parts["overall"], parts.get("users")))
        tiers = sorted(
            parts["by_tier"], key=lambda tier: _TIERS.index(tier) if tier in _TIERS else len(_TIERS)
        )
        found += [(task, f"{tier} users", parts["by_tier"][tier], None) for tier in tiers]
    reach = max((abs(end) for *_, one, _ in found for end in one["ci"]), default=0.0)
    return [
        DifferenceBar(task, group, one.get("users", users), one["value"], one["ci"][0], one["ci"][1], reach)
        for task, group, one, users in found
    ]


def told(finding: Record, side: str) -> str:
    """What was measured before or after, in the family's unit."""
    value = float(finding[side])
    if finding["family"] in _SHARES:
        return f"{value:.1%}"
    return f"{value:+.3f}" if finding["family"] in ("moves", "arrivals") else f"{value:.2f}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("monitoring.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "act": lambda name: ACTS.get(name, name),
        "differences": differences,
        "figure": figure,
        "moment": lambda at: at[:16].replace("T", " "),
        "ratio": ratio,
        "told": told,
    }
    return environment
