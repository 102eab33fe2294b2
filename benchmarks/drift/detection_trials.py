"""Trials of detection rules: pairs of windows of which it is known what changed, and what each rule says of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from monitoring.drift import DriftReference
from monitoring.simulation import faults, synthetic_drift
from monitoring.simulation.policies import POLICIES, PolicyContext
from monitoring.simulation.recommender import ReplayRecommender
from monitoring.simulation.world import ReplayWorld
from tierrec_core.settings import MonitorSettings
from tierrec_core.tiers import TIER_NAMES

KINDS: tuple[synthetic_drift.Kind, ...] = ("concentrated", "diffuse")
_PAST_DAYS = 120.0  # of the log that is handed on beside the windows: favourites are learned from it


@dataclass(frozen=True)
class DetectionTrial:
    """What came of one pair of windows.

    world, cut: which; cut is the day between the windows, counted from the world's first
    what: placebo, real, or the change that was made; part: its kind or strength, "" where there is one only
    state, reasons: our verdict; families: "family/tier" of each alarm
    alarms: which of the named policies would retrain; significance: ours, if effects did not have to be large
    seed: of the draw; days: from the cut to the end of the window
    """

    world: str
    cut: float
    what: str
    part: str
    state: str
    reasons: tuple[str, ...]
    families: tuple[str, ...]
    alarms: Mapping[str, bool]
    seed: int
    days: float


@dataclass(frozen=True)
class TrialWindows:
    """Two neighbouring windows that meet at the reference's cut, in a log that reaches a little further back."""

    world: ReplayWorld
    reference: DriftReference
    settings: MonitorSettings
    seed: int

    @classmethod
    def between(cls, world: ReplayWorld, cut: float, settings: MonitorSettings, seed: int) -> "TrialWindows":
        """As they come."""
        model = ReplayRecommender.fit(world, cut, seed)
        past = world.between(-np.inf, cut)
        reference = DriftReference.build(past, world.items, cut, model.tiering, model.history, settings, seed)
        return cls(world, reference, settings, seed)

    @classmethod
    def placebo(cls, world: ReplayWorld, cut: float, settings: MonitorSettings, seed: int) -> "TrialWindows":
        """With each user's baskets dealt at random to the two; all that hangs on the log is made anew."""
        rng, width = np.random.default_rng(seed), settings.window_days
        near = world.between(-np.inf, cut + width)
        dealt = synthetic_drift.placebo(near, start=cut - width, width=width, rng=rng)
        return cls.between(ReplayWorld(world.name, dealt, world.items, world.target), cut, settings, seed)

    @property
    def cut(self) -> float:
        """The day between them."""
        return self.reference.cut

    @property
    def end(self) -> float:
        """The day after the second."""
        return self.cut + self.settings.window_days

    def span(self) -> faults.FaultPeriod:
        """The part of the log that changes are put into: its second window changes."""
        near = self.world.between(self.cut - _PAST_DAYS, self.end)
        return faults.FaultPeriod(near, self.world.items, self.cut, self.end)

    def shifted(self, share: float, kind: synthetic_drift.Kind) -> synthetic_drift.ShiftedLog:
        """The interests of a share of the users move at the cut."""
        span, rng = self.span(), np.random.default_rng([self.seed, round(100 * share), KINDS.index(kind)])
        return synthetic_drift.interests(
            span.events, span.items, share=share, start=self.cut, rng=rng, kind=kind
        )

    def broken(self, fault: faults.Fault) -> synthetic_drift.ShiftedLog:
        """The second window comes with a fault of the data."""
        return fault(self.span(), np.random.default_rng(self.seed))

    def collapsed(self, tier: int) -> synthetic_drift.ShiftedLog:
        """The users of a tier do far less."""
        span, rng = self.span(), np.random.default_rng(self.seed)
        users = self.reference.users[self.reference.tier == tier]
        return synthetic_drift.collapse(
            span.events, span.items, users=users, start=self.cut, rng=rng, name=f"tier {TIER_NAMES[tier]}"
        )

    def trial(
        self,
        what: str,
        part: str = "",
        change: synthetic_drift.ShiftedLog | None = None,
        rivals: tuple[str, ...] = (),
        days: float | None = None,
    ) -> DetectionTrial:
        """Judge the window that ends so many days after the cut (its whole length), and ask the rivals."""
        days = self.settings.window_days if days is None else days
        events, items = (change.events, change.items) if change else (self.span().events, self.world.items)
        scene = PolicyContext(events, items, self.reference, self.cut + days, self.settings, self.seed)
        verdict = scene.verdict()
        sure = any(one.adjusted <= self.settings.level for one in verdict.findings)
        alarms = {"ours": verdict.state == "drift", "significance": sure and not verdict.faults}
        alarms |= {name: POLICIES[name].look(scene, ()).retrain for name in rivals}
        return DetectionTrial(
            self.world.name,
            self.cut - self.world.start,
            what,
            part,
            verdict.state,
            tuple(verdict.reasons()),
            tuple(dict.fromkeys(f"{one.family}/{one.tier}" for one in verdict.alarms)),
            alarms,
            self.seed,
            days,
        )


def power(
    windows: TrialWindows, shares: tuple[float, ...], rivals: tuple[str, ...]
) -> Iterator[DetectionTrial]:
    """Both kinds of shift at each share, on the same windows."""
    for share in shares:
        for kind in KINDS:
            yield windows.trial(f"interests {share:.0%}", kind, windows.shifted(share, kind), rivals)


def delays(
    windows: TrialWindows, share: float, rivals: tuple[str, ...], steps: int = 4
) -> Iterator[DetectionTrial]:
    """Looks at a quarter of a window, at two quarters, ... after a shift; the last is a whole window later."""
    for kind in KINDS:
        change = windows.shifted(share, kind)
        for step in range(1, steps + 1):
            days = windows.settings.window_days * step / steps
            yield windows.trial(f"delay {share:.0%}", kind, change, rivals, days)


def broken(windows: TrialWindows, rivals: tuple[str, ...]) -> Iterator[DetectionTrial]:
    """Every fault of the data."""
    for name, fault in faults.FAULTS.items():
        if name != "missing_kind" or windows.world.events["event"].nunique() > 2:
            yield windows.trial("fault", name, windows.broken(fault), rivals)


def seasonal(
    world: ReplayWorld, start: float, settings: MonitorSettings, seed: int
) -> Iterator[DetectionTrial]:
    """A category doubles for six weeks, and again a year later: the first window of each season is judged."""
    rng, year = np.random.default_rng(seed), 364.0
    change = synthetic_drift.season(world.events, world.items, starts=(start, start + year), rng=rng)
    grown = world.after(change)
    for part, day in (("first", start), ("return", start + year)):
        yield TrialWindows.between(grown, day, settings, seed).trial("season", part)


def changed(windows: TrialWindows, share: float = 0.2) -> Iterator[DetectionTrial]:
    """Changes of the users that are no shift of interests: a new category, and each tier's collapse."""
    span, rng = windows.span(), np.random.default_rng(windows.seed)
    new = synthetic_drift.new_category(span.events, span.items, share=share, start=windows.cut, rng=rng)
    yield windows.trial("new category", f"{share:.0%}", new)
    for tier, name in enumerate(TIER_NAMES):
        yield windows.trial("collapse", name, windows.collapsed(tier))
