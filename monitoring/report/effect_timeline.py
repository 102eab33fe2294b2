"""Charts of effects relative to their limits over the windows, one per family of tests, as SVG coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

Record = Mapping[str, Any]

# title of each family, and the direction of the tested effect: 1 a rise, -1 a fall, 0 both
FAMILIES: Mapping[str, tuple[str, int]] = {
    "shares": ("Categories", 0),
    "interests": ("Favourite category", -1),
    "moves": ("Moves away from the favourite", 1),
    "arrivals": ("Moves to one category", 1),
    "embedding": ("Mean item vector", 0),
    "transitions": ("Tiers", 0),
    "volume": ("Events per user", 0),
    "new_items": ("New items", 1),
    "unseen_categories": ("New categories", 1),
    "online": ("Conversion of the lists", -1),
}
WIDTH, HEIGHT = 320, 96  # of a chart, in SVG units
MAX_WINDOWS = 60  # more points would overlap
MAX_RATIO = 3.0  # larger effects are drawn at the upper edge
_MARGIN_X, _MARGIN_Y = 10, 8


@dataclass(frozen=True)
class EffectPoint:
    """The largest finding of a family in one window.

    x, y: in SVG units; ratio: effect over its limit, negative for a change against the tested direction
    alarm: beyond the limit and significant; clipped: over MAX_RATIO
    label: description; key: of the decision
    """

    x: float
    y: float
    ratio: float
    alarm: bool
    clipped: bool
    label: str
    key: str


@dataclass(frozen=True)
class EffectChart:
    """One family over all windows, oldest first; limit: height at which the effect equals its limit, in SVG units."""

    title: str
    points: tuple[EffectPoint, ...]
    limit: float

    @property
    def line(self) -> str:
        """The `points` attribute of an SVG polyline."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)

    @property
    def num_alarms(self) -> int:
        """Number of windows with an alarm."""
        return sum(point.alarm for point in self.points)

    @property
    def summary(self) -> str:
        """Text alternative of the chart."""
        alarms = f"{self.num_alarms} of {len(self.points)} windows alarm"
        return f"{self.title}: {alarms}; newest {self.points[-1].ratio:.2g} times the limit"


def effect_charts(decisions: Sequence[Record]) -> list[EffectChart]:
    """One chart per family tested in the newest MAX_WINDOWS, in the order of FAMILIES; decisions in any order."""
    by_age = sorted(decisions, key=lambda decision: (decision["window"]["end"], decision["at"], decision["key"]))
    newest = by_age[-MAX_WINDOWS:]
    tested = {finding["family"] for decision in newest for finding in decision["findings"]}
    known = [family for family in FAMILIES if family in tested]
    return [_chart(family, newest) for family in (*known, *sorted(tested - set(known)))]


def rank_findings(findings: Sequence[Record]) -> list[Record]:
    """Sort findings: alarms first, then by effect relative to the limit."""
    return sorted(
        findings, key=lambda finding: (not finding["alarm"], -effect_ratio(finding), finding["tier"], finding["what"])
    )


def effect_ratio(finding: Record) -> float:
    """Effect over its limit; negative for a change against the tested direction."""
    side = FAMILIES.get(finding["family"], ("", 0))[1]
    size = finding["effect"] * side if side else abs(finding["effect"])
    return float(size / finding["threshold"]) if finding["threshold"] > 0 else 0.0


def _chart(family: str, decisions: Sequence[Record]) -> EffectChart:
    days = [date.fromisoformat(decision["window"]["end"]).toordinal() for decision in decisions]
    first, span = days[0], max(days[-1] - days[0], 1)
    points = []
    for day, decision in zip(days, decisions, strict=True):
        findings = [finding for finding in decision["findings"] if finding["family"] == family]
        if findings:
            position = (day - first) / span if days[-1] > first else 0.5
            x = _MARGIN_X + (WIDTH - 2 * _MARGIN_X) * position
            points.append(_point(rank_findings(findings)[0], decision, x))
    title = FAMILIES.get(family, (family.replace("_", " ").capitalize(), 0))[0]
    return EffectChart(title, tuple(points), _height(1.0))


def _point(finding: Record, decision: Record, x: float) -> EffectPoint:
    ratio = effect_ratio(finding)
    label = f"{decision['window']['end']}, {finding['tier']}: {finding['what']}, {ratio:.2g} times the limit"
    y = _height(min(max(ratio, 0.0), MAX_RATIO))
    alarm, clipped = bool(finding["alarm"]), ratio > MAX_RATIO
    return EffectPoint(round(x, 1), y, ratio, alarm, clipped, label, str(decision["key"]))


def _height(ratio: float) -> float:
    """Distance of a ratio from the chart's upper edge, in SVG units."""
    return round(_MARGIN_Y + (HEIGHT - 2 * _MARGIN_Y) * (1 - ratio / MAX_RATIO), 1)
