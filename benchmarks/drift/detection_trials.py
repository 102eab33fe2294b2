"""Detection trials: pairs of windows with a known change, and what each retrain policy decides on them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from monitoring.drift import DriftReference
from monitoring.simulation import faults, synthetic_drift
from monitoring.simulation.fault_period import Fault, FaultPeriod
from monitoring.simulation.policies import POLICIES, PolicyContext
from monitoring.simulation.synthetic_drift import add_seconds, basket_codes
from monitoring.simulation.world import ReplayRecommender, ReplayWorld
from tierrec_core.data.interactions import to_days
from tierrec_core.settings import MonitorSettings
from tierrec_core.tiers import TIER_NAMES

KINDS: tuple[synthetic_drift.Kind, ...] = ("concentrated", "diffuse")
_HISTORY_DAYS = 120.0  # before the cut, from which changes take users' favourites


def reassign_baskets(events: pd.DataFrame, *, start: float, width: float, rng: np.random.Generator) -> pd.DataFrame:
    """Reassign the baskets of the two windows of `width` days from day `start` on; other events stay.

    A basket that changes window keeps its weekday and hour where the width is whole weeks. The windows are
    exchangeable by construction, so that any detection is a false alarm.
    """
    day = to_days(events["timestamp"])
    inside = np.flatnonzero((day >= start) & (day < start + 2 * width))
    basket, owner = basket_codes(events.iloc[inside])
    opens = np.full(len(owner), np.inf)
    np.minimum.at(opens, basket, day[inside])
    in_second = opens >= start + width
    to_second = rng.random(len(owner)) < 0.5
    shift = np.zeros(len(events))
    shift[inside] = ((to_second.astype(float) - in_second) * width)[basket]
    reassigned = events.assign(timestamp=add_seconds(events["timestamp"], 86_400 * shift))
    return reassigned.sort_values("timestamp", kind="stable").reset_index(drop=True)


@dataclass(frozen=True)
class DetectionTrial:
    """Result on one pair of windows.

    world, cut: the log, and the day between the windows, counted from the log's first
    what: placebo, real, or the change; part: its kind or strength, "" where there is only one
    state, reasons: of the drift verdict; families: "family/tier" of each alarm
    alarms: whether each policy would retrain; "significance": the verdict without effect limits
    seed: of the random draws; days: from the cut to the end of the window
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
    """Two adjacent windows of a log that meet at the reference's cut."""

    world: ReplayWorld
    reference: DriftReference
    settings: MonitorSettings
    seed: int

    @classmethod
    def at(cls, world: ReplayWorld, cut: float, settings: MonitorSettings, seed: int) -> "TrialWindows":
        """The unchanged windows around a cut."""
        model = ReplayRecommender.fit(world, cut, seed)
        past = world.between(-np.inf, cut)
        reference = DriftReference.build(past, world.items, cut, model.tiering, model.canary.history, settings)
        return cls(world, reference, settings, seed)

    @classmethod
    def placebo(cls, world: ReplayWorld, cut: float, settings: MonitorSettings, seed: int) -> "TrialWindows":
        """The windows around a cut with each user's baskets reassigned at random between them."""
        rng, width = np.random.default_rng(seed), settings.window_days
        events = reassign_baskets(world.between(-np.inf, cut + width), start=cut - width, width=width, rng=rng)
        return cls.at(ReplayWorld(world.name, events, world.items), cut, settings, seed)

    @property
    def cut(self) -> float:
        """The day between the windows."""
        return self.reference.cut

    def period(self) -> FaultPeriod:
        """The second window, which changes are applied to, with the log before it."""
        end = self.cut + self.settings.window_days
        events = self.world.between(self.cut - _HISTORY_DAYS, end)
        return FaultPeriod(events, self.world.items, self.cut, end)

    def shifted(self, share: float, kind: synthetic_drift.Kind) -> synthetic_drift.ChangedLog:
        """Shift the interests of a share of the users at the cut."""
        rng = np.random.default_rng([self.seed, round(100 * share), KINDS.index(kind)])
        period = self.period()
        return synthetic_drift.shift_interests(
            period.events, period.items, share=share, start=self.cut, rng=rng, kind=kind
        )

    def broken(self, fault: Fault) -> synthetic_drift.ChangedLog:
        """Apply a fault to the second window."""
        return fault(self.period(), np.random.default_rng(self.seed))

    def collapsed(self, tier: int) -> synthetic_drift.ChangedLog:
        """Reduce the activity of a tier."""
        period, rng = self.period(), np.random.default_rng(self.seed)
        users = self.reference.users[self.reference.groups.tier == tier]
        return synthetic_drift.reduce_activity(
            period.events, period.items, users=users, start=self.cut, rng=rng, name=f"tier {TIER_NAMES[tier]}"
        )

    def trial(
        self,
        what: str,
        part: str = "",
        change: synthetic_drift.ChangedLog | None = None,
        policies: tuple[str, ...] = (),
        days: float | None = None,
    ) -> DetectionTrial:
        """Evaluate the window that ends `days` after the cut (default: the whole window)."""
        days = self.settings.window_days if days is None else days
        events, items = (change or self.period()).events, (change or self.world).items
        context = PolicyContext(events, items, self.reference, self.cut + days, self.settings, self.seed)
        verdict = context.verdict()
        significant = any(finding.adjusted <= self.settings.level for finding in verdict.findings)
        alarms = {"ours": verdict.state == "drift", "significance": significant and not verdict.faults}
        alarms |= {name: POLICIES[name](context, ()).retrain for name in policies}
        return DetectionTrial(
            self.world.name,
            self.cut - self.world.start,
            what,
            part,
            verdict.state,
            tuple(verdict.reasons()),
            tuple(dict.fromkeys(f"{finding.family}/{finding.tier}" for finding in verdict.alarms)),
            alarms,
            self.seed,
            days,
        )


def power_trials(
    windows: TrialWindows, shares: tuple[float, ...], policies: tuple[str, ...]
) -> Iterator[DetectionTrial]:
    """Both kinds of shift at each share, on the same windows."""
    for share in shares:
        for kind in KINDS:
            yield windows.trial(f"interests {share:.0%}", kind, windows.shifted(share, kind), policies)


def delay_trials(
    windows: TrialWindows, share: float, policies: tuple[str, ...], steps: int = 4
) -> Iterator[DetectionTrial]:
    """Evaluations a quarter, two quarters, ... of a window after a shift."""
    for kind in KINDS:
        change = windows.shifted(share, kind)
        for step in range(1, steps + 1):
            days = windows.settings.window_days * step / steps
            yield windows.trial(f"delay {share:.0%}", kind, change, policies, days)


def fault_trials(windows: TrialWindows, policies: tuple[str, ...]) -> Iterator[DetectionTrial]:
    """Broken feeds and bot waves; `feed_faults` measures all others."""
    for name, fault in {**faults.BROKEN_FEEDS, **faults.BOT_WAVES}.items():
        yield windows.trial("fault", name, windows.broken(fault), policies)


def season_trials(world: ReplayWorld, start: float, settings: MonitorSettings, seed: int) -> Iterator[DetectionTrial]:
    """The first window of a season in which a category doubles for six weeks, and of its return a year later."""
    rng, year = np.random.default_rng(seed), 364.0
    change = synthetic_drift.add_season(world.events, world.items, starts=(start, start + year), rng=rng)
    changed = world.after(change)
    for part, day in (("first", start), ("return", start + year)):
        yield TrialWindows.at(changed, day, settings, seed).trial("season", part)


def other_change_trials(windows: TrialWindows, share: float = 0.2) -> Iterator[DetectionTrial]:
    """A new category, and a fall in the activity of each tier."""
    period, rng = windows.period(), np.random.default_rng(windows.seed)
    new = synthetic_drift.add_category(period.events, period.items, share=share, start=windows.cut, rng=rng)
    yield windows.trial("new category", f"{share:.0%}", new)
    for tier, name in enumerate(TIER_NAMES):
        yield windows.trial("collapse", name, windows.collapsed(tier))
