"""Effects against their limits, window by window: one small chart a family of tests, as plain SVG coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

Record = Mapping[str, Any]

# the families by what a person calls them, and which changes count: 1 a rise, -1 a fall, 0 both
FAMILIES: Mapping[str, tuple[str, int]] = {
    "shares": ("Categories", 0),
    "interests": ("Favourite category", -1),
    "moves": ("Moves away from the favourite", 1),
    "arrivals": ("Moves to one category", 1),
    "embedding": ("Mean of the items' vectors", 0),
    "transitions": ("Tiers", 0),
    "volume": ("Events a user", 0),
    "new_items": ("New items", 1),
    "unseen_categories": ("New categories", 1),
    "online": ("Conversion of the lists", -1),
}
WIDTH, HEIGHT = 320, 96  # of a chart, in SVG units
WINDOWS = 60  # the newest, beyond which points would lie on one another
TOP = 3.0  # times the limit; what is beyond is drawn at the upper edge
_LEFT, _RIGHT, _ABOVE, _BELOW = 10, 10, 8, 8


@dataclass(frozen=True)
class EffectPoint:
    """The loudest finding of a family in one window.

    x, y: in SVG units; ratio: effect over its limit, below 0 for a change that does not count
    alarm: beyond the limit and significant; beyond: too large for the chart
    says: the same in words; key: of the decision
    """

    x: float
    y: float
    ratio: float
    alarm: bool
    beyond: bool
    says: str
    key: str


@dataclass(frozen=True)
class EffectChart:
    """One family over all windows, oldest first; limit: where the effect equals its limit, in SVG units."""

    title: str
    points: tuple[EffectPoint, ...]
    limit: float

    @property
    def line(self) -> str:
        """Through all points, as SVG's polyline wants it."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)

    @property
    def alarms(self) -> int:
        """How many windows alarmed."""
        return sum(point.alarm for point in self.points)

    @property
    def summary(self) -> str:
        """What the chart shows, for who cannot see it."""
        newest = self.points[-1]
        said = f"{self.alarms} of {len(self.points)} windows alarm"
        return f"{self.title}: {said}; newest {newest.ratio:.2g} times the limit"


def charts(decisions: Sequence[Record]) -> list[EffectChart]:
    """One chart a family that was tested in the newest WINDOWS, in the order of FAMILIES; decisions in any order."""
    looks = sorted(decisions, key=lambda one: (one["window"]["end"], one["at"], one["key"]))[-WINDOWS:]
    found = {finding["family"] for one in looks for finding in one["findings"]}
    known = [name for name in FAMILIES if name in found]
    return [_chart(name, looks) for name in (*known, *sorted(found - set(known)))]


def loudest(findings: Sequence[Record]) -> list[Record]:
    """Findings by how much they matter: alarms first, then by the effect over its limit, where it counts."""
    return sorted(findings, key=lambda one: (not one["alarm"], -ratio(one), one["tier"], one["what"]))


def ratio(finding: Record) -> float:
    """Effect over its limit; below 0 where the change goes the way that does not count."""
    side = FAMILIES.get(finding["family"], ("", 0))[1]
    counted = finding["effect"] * side if side else abs(finding["effect"])
    return float(counted / finding["threshold"]) if finding["threshold"] > 0 else 0.0


def _chart(family: str, looks: Sequence[Record]) -> EffectChart:
    days = [date.fromisoformat(one["window"]["end"]).toordinal() for one in looks]
    first, span = days[0], max(days[-1] - days[0], 1)
    points = []
    for day, look in zip(days, looks, strict=True):
        own = [finding for finding in look["findings"] if finding["family"] == family]
        if own:
            at = _LEFT + (WIDTH - _LEFT - _RIGHT) * ((day - first) / span if days[-1] > first else 0.5)
            points.append(_point(loudest(own)[0], look, at))
    title = FAMILIES.get(family, (family.replace("_", " ").capitalize(), 0))[0]
    return EffectChart(title, tuple(points), _height(1.0))


def _point(finding: Record, look: Record, at: float) -> EffectPoint:
    found = ratio(finding)
    says = f"{look['window']['end']}, {finding['tier']}: {finding['what']}, {found:.2g} times the limit"
    height = _height(min(max(found, 0.0), TOP))
    return EffectPoint(
        round(at, 1), height, found, bool(finding["alarm"]), found > TOP, says, str(look["key"])
    )


def _height(times: float) -> float:
    """Where so many times the limit lie, in SVG units from above."""
    return round(_ABOVE + (HEIGHT - _ABOVE - _BELOW) * (1 - times / TOP), 1)
