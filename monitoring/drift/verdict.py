"""The verdict on a current window: steady, drift, or a data fault, with the results of all tests."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from monitoring.drift.feed.fault import FeedFault
from monitoring.drift.feed_checks import FeedChecks, find_faults
from monitoring.drift.finding import DriftFinding
from monitoring.drift.measurement.window_measurement import WindowMeasurement
from monitoring.drift.reference import DriftReference
from monitoring.drift.statistics.effect_limits import ALL, BOUNDS
from monitoring.drift.statistics.paired_tests import PairedComparison, cohens_h, paired_comparisons
from monitoring.drift.statistics.permutation import ComparisonFamily, benjamini_hochberg, family_weights, p_values
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import MonitorSettings

State = Literal["steady", "drift", "fault"]
_MIN_USERS = 5
_MOVES_IMPORTANCE = 4.0
_MAX_REASONS = 12
_NEED_BASELINE = ("volume", "transitions")  # without one, the users are those active in the window: selection bias
_CLEAR = {
    "moves": 1.0,
    "arrivals": 1.0,
}  # a user moved whose log likelihood changed by a nat; elsewhere any change counts


@dataclass(frozen=True)
class OnlineMetrics:
    """Impressions and conversions of the same V users in both windows, one row per model version and variant.

    versions: display names such as "tierrec:abc champion", [S]
    shown_before, converted_before, shown_after, converted_after: [S, V]
    """

    versions: tuple[str, ...]
    shown_before: IntArray
    converted_before: IntArray
    shown_after: IntArray
    converted_after: IntArray

    def rates(self) -> tuple[FloatArray, FloatArray]:
        """Conversions per list, before and after, [S] each; 0 where nothing was shown."""
        before = self.converted_before.sum(axis=1) / np.maximum(self.shown_before.sum(axis=1), 1)
        return before, self.converted_after.sum(axis=1) / np.maximum(self.shown_after.sum(axis=1), 1)

    def effects(self) -> FloatArray:
        """Cohen's h of the change of the rate, [S]."""
        return cohens_h(*self.rates())

    def comparison_family(self) -> ComparisonFamily:
        """Each user's conversions above the pooled rate, after minus before; tests for a fall."""
        shown = (self.shown_before + self.shown_after).sum(axis=1, keepdims=True)
        converted = (self.converted_before + self.converted_after).sum(axis=1, keepdims=True)
        rate = converted / np.maximum(shown, 1)
        windows = (self.converted_before, self.shown_before), (self.converted_after, self.shown_after)
        before, after = (
            (part_converted - rate * part_shown) / np.maximum(part_shown.sum(axis=1, keepdims=True), 1)
            for part_converted, part_shown in windows
        )
        return ComparisonFamily((after - before).T, side=-1)


@dataclass(frozen=True)
class DriftVerdict:
    """Findings and faults of a window of days [start, end); num_users: reference users active in both windows."""

    start: float
    end: float
    num_users: int
    findings: tuple[DriftFinding, ...]
    faults: tuple[FeedFault, ...]

    @property
    def state(self) -> State:
        """A fault takes precedence: a broken feed resembles drift, and must not be used for training."""
        if self.faults:
            return "fault"
        return "drift" if self.alarms else "steady"

    @property
    def alarms(self) -> tuple[DriftFinding, ...]:
        """Findings that are significant and large, the largest relative to its threshold first."""
        alarms = [finding for finding in self.findings if finding.alarm]
        return tuple(sorted(alarms, key=lambda finding: -abs(finding.effect) / finding.threshold))

    @property
    def has_unknown_category(self) -> bool:
        """Whether users took up a category that the champion cannot recommend, since it did not exist."""
        return any(finding.family == "unseen_categories" for finding in self.alarms)

    def reasons(self) -> list[str]:
        """Explanations of the verdict: faults, or else alarms, or else the finding nearest to an alarm."""
        if self.faults:
            return [fault.sentence() for fault in self.faults]
        if self.alarms:
            return [finding.sentence() for finding in self.alarms[:_MAX_REASONS]]
        # a one-sided p over .5 is a change in the other direction
        candidates = [finding for finding in self.findings if finding.threshold > 0 and finding.p_value <= 0.5]
        nearest = max(candidates, key=lambda finding: abs(finding.effect) / finding.threshold, default=None)
        return ["no drift" + (f"; nearest to an alarm: {nearest.sentence()}" if nearest else "")]

    def payload(self) -> dict[str, Any]:
        """Content of the drift event, ready for JSON."""
        alarms = self.alarms
        return {
            "tiers": sorted({finding.tier for finding in alarms}),
            "layers": sorted({finding.what for finding in alarms if finding.family in ("shares", "arrivals")}),
            "effects": {
                f"{finding.family}/{finding.tier}/{finding.what}": round(finding.effect, 6)
                for finding in alarms[:_MAX_REASONS]
            },
            "window": self._window(),
        }

    def report(self) -> dict[str, Any]:
        """All tests and faults, ready for JSON."""
        return {
            "state": self.state,
            "window": self._window(),
            "num_users": self.num_users,
            "reasons": self.reasons(),
            "findings": [asdict(finding) for finding in self.findings],
            "faults": [asdict(fault) for fault in self.faults],
        }

    def _window(self) -> dict[str, str]:
        return {"start": f"{from_days(self.start):%Y-%m-%d}", "end": f"{from_days(self.end):%Y-%m-%d}"}


def evaluate_window(
    reference: DriftReference,
    current: WindowMeasurement,
    feed: FeedChecks,
    settings: MonitorSettings,
    seed: int,
    online: OnlineMetrics | None = None,
) -> DriftVerdict:
    """Compare a current window with the reference window. Deterministic given the seed.

    An alarm needs an adjusted p-value under the level and an effect over the limit from past windows. The tests are
    run even when there is a fault, to show the effect of a broken feed.
    """
    comparisons = paired_comparisons(reference.pair_with(current))
    tests = [*_window_tests(comparisons, reference), *_online_tests(online)]
    return DriftVerdict(
        start=current.start,
        end=current.end,
        num_users=int(((reference.window.events > 0) & (current.events > 0)).sum()),
        findings=tuple(_findings(tests, len(reference.groups.tier_names), settings, seed)),
        faults=find_faults(feed, reference, current, settings),
    )


@dataclass(frozen=True)
class _Test:
    """Hypotheses of one family and group that are tested together, [M]; num_users: those with a value in it."""

    family: str
    tier: str
    what: tuple[str, ...]
    before: FloatArray
    after: FloatArray
    effect: FloatArray
    threshold: FloatArray
    differences: ComparisonFamily
    num_users: int


def _window_tests(comparisons: Iterator[PairedComparison], reference: DriftReference) -> Iterator[_Test]:
    for comparison in comparisons:
        family = comparison.family
        if family in _NEED_BASELINE and not reference.baselines.has_events:
            continue
        for name, members in reference.groups.members.items():
            part = comparison.of(members)
            if (part.weight > 0).sum() < _MIN_USERS:
                continue
            limit = reference.thresholds[f"{family}/{name}"]
            effect, differences = part.effects(), comparison.comparison_family(members)
            what, means = comparison.what, part.means()
            if comparison.kind == "vector":
                what, means = ("mean item vector",), (np.zeros(1), effect)
            yield _Test(family, name, what, *means, effect, limit, differences, int((part.weight > 0).sum()))


def _online_tests(online: OnlineMetrics | None) -> Iterator[_Test]:
    if online is not None and online.versions:
        limit = np.full(len(online.versions), BOUNDS["online"][1])
        before, after = online.rates()
        family = online.comparison_family()
        num_users = online.shown_before.shape[1]
        yield _Test("online", ALL, online.versions, before, after, online.effects(), limit, family, num_users)


def _findings(tests: Sequence[_Test], num_tiers: int, settings: MonitorSettings, seed: int) -> Iterator[DriftFinding]:
    """One finding per hypothesis; online tests are permuted separately, since their users differ."""
    if not tests:
        return
    by_num_users: dict[int, list[int]] = {}
    for index, test in enumerate(tests):
        by_num_users.setdefault(len(test.differences.differences), []).append(index)
    p: dict[int, FloatArray] = {}
    for indices in by_num_users.values():
        families = [tests[index].differences for index in indices]
        p.update(zip(indices, p_values(families, settings.permutations, seed), strict=True))
    raw = np.concatenate([p[index] for index in range(len(tests))])
    # a test of all users weighs as much as those of the tiers together, and a test of moves to any category as much as
    # those of arrivals in each
    importance = [
        (_MOVES_IMPORTANCE if test.family == "moves" else 1.0) * (num_tiers if test.tier == ALL else 1)
        for test in tests
    ]
    adjusted = benjamini_hochberg(raw, family_weights([len(test.what) for test in tests], importance))
    hypotheses = [(test, column) for test in tests for column in range(len(test.what))]
    for (test, column), p_value, q_value in zip(hypotheses, raw, adjusted, strict=True):
        effect, limit, side = float(test.effect[column]), float(test.threshold[column]), test.differences.side
        num_users, moved = _count_moved(test, column)
        yield DriftFinding(
            family=test.family,
            tier=test.tier,
            what=test.what[column],
            before=float(test.before[column]),
            after=float(test.after[column]),
            effect=effect,
            threshold=limit,
            p_value=float(p_value),
            adjusted=float(q_value),
            alarm=bool(q_value <= settings.level and (effect * side if side else abs(effect)) > limit),
            users=num_users,
            moved=moved,
        )


def _count_moved(test: _Test, column: int) -> tuple[int, int]:
    """Users of a test, and how many more changed in the direction of its effect than against it; 0 for a vector."""
    if test.differences.joint:
        return test.num_users, 0
    changes = test.differences.differences[:, column]
    clear = np.abs(changes) >= _CLEAR.get(test.family, np.finfo(float).tiny)
    return test.num_users, int(np.sign(changes[clear]).sum() * np.sign(test.effect[column]))
