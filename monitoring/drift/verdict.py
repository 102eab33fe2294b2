"""The verdict on one window: steady, drift, or a fault of the data, with every test that was made."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from monitoring.drift.feed_checks import FeedChecks, FeedFault, find_faults
from monitoring.drift.historical_windows import ALL
from monitoring.drift.measurement.window_measurement import WindowMeasurement
from monitoring.drift.online_metrics import OnlineMetrics
from monitoring.drift.reference import DriftReference
from monitoring.drift.statistics.effect_limits import BOUNDS
from monitoring.drift.statistics.paired_tests import PairedComparison, contrasts
from monitoring.drift.statistics.permutation import (
    ComparisonFamily,
    benjamini_hochberg,
    family_weights,
    p_values,
)
from tierrec_core.base.contracts import BoolArray, FloatArray
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import MonitorSettings

State = Literal["steady", "drift", "fault"]
_MIN_USERS = 5
# a test of everybody weighs as much as those of the three tiers together, and a test of moves to any category as much
# as those of arrivals at each
_IMPORTANCE = {ALL: 3.0, "moves": 4.0}
_REASONS = 12
_NEED_PAST = ("volume", "transitions")  # users known from the window alone are those who were active in it


@dataclass(frozen=True)
class DriftFinding:
    """One test: what changed for whom, how much, and how surely.

    effect, threshold: of one unit, which `thresholds.BOUNDS` names for each family; alarm wants the effect beyond it
    p_value, adjusted: by permutation over users, and by false discovery rate over all tests of the verdict
    """

    family: str
    tier: str
    what: str
    before: float
    after: float
    effect: float
    threshold: float
    p_value: float
    adjusted: float
    alarm: bool

    def sentence(self) -> str:
        """One line that a person reads."""
        sign = ">" if abs(self.effect) > self.threshold else "<="
        sure = f"p {_short(self.p_value)}, effect {_short(abs(self.effect))} {sign} {_short(self.threshold)}"
        return f"{self.tier}: {self._change()} ({sure})"

    def _change(self) -> str:
        share = f"{self.before:.1%} -> {self.after:.1%}"
        match self.family:
            case "shares":
                return f"category {self.what!r} {share} of their events"
            case "interests" | "new_items" | "unseen_categories":
                return f"{self.what} {share} of their events"
            case "arrivals":
                return f"users leave their favourite for {self.what!r}, evidence {self._nats()}"
            case "online":
                return f"conversion of {self.what} {share} of the lists"
            case "transitions":
                return f"{self.what} {share}"
            case "volume":
                return (
                    f"{self.what} {self.before:.2f} -> {self.after:.2f} (log, {np.expm1(self.effect):+.0%})"
                )
            case "embedding":
                return f"the mean of the items' vectors moved by {self.effect:.2f} standard deviations"
        return f"{self.what} {self._nats()}"

    def _nats(self) -> str:
        return f"{self.before:+.3f} -> {self.after:+.3f} nats a user"


@dataclass(frozen=True)
class DriftVerdict:
    """All that was found on the window from day `start` to before day `end`; num_users were active in both windows."""

    start: float
    end: float
    num_users: int
    findings: tuple[DriftFinding, ...]
    faults: tuple[FeedFault, ...]

    @property
    def state(self) -> State:
        """A fault wins over drift: a broken feed looks like drift, and nobody should learn from it."""
        if self.faults:
            return "fault"
        return "drift" if self.alarms else "steady"

    @property
    def alarms(self) -> tuple[DriftFinding, ...]:
        """What is significant and large, the largest beside its threshold first."""
        found = [finding for finding in self.findings if finding.alarm]
        return tuple(sorted(found, key=lambda one: -abs(one.effect) / one.threshold))

    def reasons(self) -> list[str]:
        """The verdict in words: faults, or else alarms, or else the nearest to an alarm."""
        if self.faults:
            return [fault.sentence() for fault in self.faults]
        if self.alarms:
            return [finding.sentence() for finding in self.alarms[:_REASONS]]
        # beyond .5 lies what moved against the side that counts
        sure = [one for one in self.findings if one.threshold > 0 and one.p_value <= 0.5]
        nearest = max(sure, key=lambda one: abs(one.effect) / one.threshold, default=None)
        return ["nothing moved" + (f"; nearest to an alarm is {nearest.sentence()}" if nearest else "")]

    def payload(self) -> dict[str, Any]:
        """What the event says, ready for JSON."""
        return {
            "tiers": sorted({one.tier for one in self.alarms}),
            "layers": sorted({one.what for one in self.alarms if one.family in ("shares", "arrivals")}),
            "effects": {
                f"{one.family}/{one.tier}/{one.what}": round(one.effect, 6) for one in self.alarms[:_REASONS]
            },
            "window": self._window(),
        }

    def report(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "state": self.state,
            "window": self._window(),
            "num_users": self.num_users,
            "reasons": self.reasons(),
            "findings": [asdict(one) for one in self.findings],
            "faults": [asdict(one) for one in self.faults],
        }

    def _window(self) -> dict[str, str]:
        return {"start": f"{from_days(self.start):%Y-%m-%d}", "end": f"{from_days(self.end):%Y-%m-%d}"}


def judge(
    reference: DriftReference,
    current: WindowMeasurement,
    feed: FeedChecks,
    settings: MonitorSettings,
    seed: int,
    online: OnlineMetrics | None = None,
) -> DriftVerdict:
    """Hold a window against the reference. The same inputs and seed give the same verdict.

    An alarm wants both: an adjusted p under the level, and an effect beyond that of past windows. Faults come first,
    but the tests are made either way, so that a person can see what a broken feed did.
    """
    own = reference.observation
    tests = [
        *_tests(list(contrasts(reference.beside(current))), reference),
        *_online_tests(online),
    ]
    return DriftVerdict(
        start=current.start,
        end=current.end,
        num_users=int(((own.events > 0) & (current.events > 0)).sum()),
        findings=tuple(_findings(tests, settings, seed)),
        faults=find_faults(feed, reference, current, settings),
    )


@dataclass(frozen=True)
class _Test:
    """Hypotheses that are tested together: [M], of one family and tier."""

    family: str
    tier: str
    what: tuple[str, ...]
    before: FloatArray
    after: FloatArray
    effect: FloatArray
    threshold: FloatArray
    block: ComparisonFamily


def _tests(made: Sequence[PairedComparison], reference: DriftReference) -> Iterator[_Test]:
    for contrast in made:
        if contrast.family in _NEED_PAST and not reference.habits.exist:
            continue
        for name, members in reference.standing.groups.items():
            part = contrast.of(members)
            if (part.weight > 0).sum() >= _MIN_USERS:
                limit = reference.thresholds[f"{contrast.family}/{name}"]
                yield _test(contrast, part, name, members, limit)


def _test(
    contrast: PairedComparison, part: PairedComparison, tier: str, members: BoolArray, threshold: FloatArray
) -> _Test:
    effect, block = part.effects(), contrast.block(members)
    if contrast.kind == "vector":
        return _Test(
            contrast.family, tier, ("mean item vector",), np.zeros(1), effect, effect, threshold, block
        )
    return _Test(contrast.family, tier, contrast.what, *part.means(), effect, threshold, block)


def _online_tests(online: OnlineMetrics | None) -> Iterator[_Test]:
    if online is not None and online.versions:
        limit = np.full(len(online.versions), BOUNDS["online"][1])
        yield _Test("online", ALL, online.versions, *online.rates(), online.effects(), limit, online.block())


def _findings(tests: Sequence[_Test], settings: MonitorSettings, seed: int) -> Iterator[DriftFinding]:
    """Every hypothesis with its p; online users are others than the reference's, so that they are flipped apart."""
    if not tests:
        return
    blocks: dict[int, list[int]] = {}
    for index, test in enumerate(tests):
        blocks.setdefault(len(test.block.differences), []).append(index)
    p: dict[int, FloatArray] = {}
    for chosen in blocks.values():
        found = p_values([tests[one].block for one in chosen], settings.permutations, seed)
        p.update(zip(chosen, found, strict=True))
    raw = np.concatenate([p[index] for index in range(len(tests))])
    importance = [_IMPORTANCE.get(test.family, 1.0) * _IMPORTANCE.get(test.tier, 1.0) for test in tests]
    adjusted = benjamini_hochberg(raw, family_weights([len(test.what) for test in tests], importance))
    place = 0
    for test in tests:
        for column, what in enumerate(test.what):
            yield _finding(test, column, what, float(raw[place]), float(adjusted[place]), settings.level)
            place += 1


def _finding(test: _Test, column: int, what: str, p: float, adjusted: float, level: float) -> DriftFinding:
    effect, limit = float(test.effect[column]), float(test.threshold[column])
    counted = effect * test.block.side if test.block.side else abs(effect)
    return DriftFinding(
        family=test.family,
        tier=test.tier,
        what=what,
        before=float(test.before[column]),
        after=float(test.after[column]),
        effect=effect,
        threshold=limit,
        p_value=p,
        adjusted=adjusted,
        alarm=adjusted <= level and counted > limit,
    )


def _short(value: float) -> str:
    """Two digits, without a leading zero."""
    text = f"{value:.2g}" if value >= 0.0001 else f"{value:.0e}"
    return text[1:] if text.startswith("0.") else text
