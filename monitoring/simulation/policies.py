"""When to retrain: our verdict, and what others do: PSI, Evidently out of the box, by the calendar, never, always."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import pandas as pd

from monitoring.drift import (
    DriftDecision,
    DriftReference,
    DriftVerdict,
    FeedChecks,
    OnlineMetrics,
    WindowMeasurement,
    decide,
    judge,
    observe,
)
from monitoring.simulation.baseline_detectors import EvidentlyPreset, frame, psi
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import MonitorSettings


@dataclass(frozen=True)
class PolicyContext:
    """What anybody can know at one moment: the log up to then, and the model in force.

    events: EVENTS, of which only those before `end` are used, days since 1970 UTC
    reference: of the model in force; its cut is the day before which the model learned
    """

    events: pd.DataFrame
    items: pd.DataFrame
    reference: DriftReference
    end: float
    settings: MonitorSettings
    seed: int
    online: OnlineMetrics | None = None

    @cached_property
    def observation(self) -> WindowMeasurement:
        """The newest window."""
        return observe(self.reference, self.events, self.items, self.end)

    @cached_property
    def preset(self) -> EvidentlyPreset:
        """Evidently's word on the newest window beside the reference's."""
        width, rows = self.settings.window_days, self.settings.report_rows
        before, after = (
            frame(self.events, self.items, end - width, end, rows, self.seed)
            for end in (self.reference.cut, self.end)
        )
        return EvidentlyPreset.of(before, after)

    def verdict(self) -> DriftVerdict:
        """Ours, on the newest window."""
        moment = from_days(self.end).to_pydatetime()
        feed = FeedChecks.measure(self.events, self.items, self.reference, self.end, self.settings, moment)
        return judge(self.reference, self.observation, feed, self.settings, self.seed, self.online)


@dataclass(frozen=True)
class PolicyDecision:
    """What a policy saw at one moment, and whether it retrains.

    state: steady, drift or fault; empty for a policy that does not look
    """

    end: float
    retrain: bool
    state: str = ""
    reasons: tuple[str, ...] = ()
    decision: DriftDecision | None = None


class RetrainPolicy(Protocol):
    """A rule for when to retrain."""

    def look(self, scene: PolicyContext, past: Sequence[PolicyDecision], /) -> PolicyDecision:
        """Look at a moment, knowing what came of earlier ones, oldest first."""
        ...


@dataclass(frozen=True)
class DriftPolicy:
    """The platform's verdict and decision, with cool-down, budget and data faults."""

    def look(self, scene: PolicyContext, past: Sequence[PolicyDecision], /) -> PolicyDecision:
        """Judge, decide."""
        verdict = scene.verdict()
        decision = decide(
            verdict,
            [one.decision for one in past if one.decision],
            scene.settings,
            model=f"day {scene.reference.cut:.0f}",
            at=from_days(scene.end).to_pydatetime(),
        )
        return PolicyDecision(scene.end, decision.act == "retrain", verdict.state, decision.reasons, decision)


@dataclass(frozen=True)
class PsiPolicy:
    """Retrain when the population stability index of the categories reaches a threshold."""

    threshold: float

    def look(self, scene: PolicyContext, _past: Sequence[PolicyDecision], /) -> PolicyDecision:
        """Hold everybody's events by category against the reference's."""
        found = psi(scene.reference.observation.counts.sum(axis=0), scene.observation.counts.sum(axis=0))
        return _look(scene, found >= self.threshold, f"PSI {found:.4f} (limit {self.threshold:g})")


@dataclass(frozen=True)
class EvidentlyPolicy:
    """Retrain when Evidently's preset, with all its defaults, says so: of the data as a whole, or of one column."""

    column: str | None = None

    def look(self, scene: PolicyContext, _past: Sequence[PolicyDecision], /) -> PolicyDecision:
        """Hand both windows to the preset."""
        found = scene.preset
        alarm = found.dataset if self.column is None else self.column in found.columns
        return _look(scene, alarm, f"drifted: {', '.join(sorted(found.columns)) or 'no column'}")


@dataclass(frozen=True)
class CalendarPolicy:
    """Retrain whenever the model in force is so many days old."""

    days: float

    def look(self, scene: PolicyContext, _past: Sequence[PolicyDecision], /) -> PolicyDecision:
        """Look at the date."""
        return PolicyDecision(scene.end, scene.end - scene.reference.cut >= self.days - 1e-9)


MONTH = 28.0
POLICIES: Mapping[str, RetrainPolicy] = {
    "ours": DriftPolicy(),
    "psi_10": PsiPolicy(0.1),
    "psi_20": PsiPolicy(0.2),
    "evidently": EvidentlyPolicy(),
    "evidently_category": EvidentlyPolicy("category"),
    "monthly": CalendarPolicy(MONTH),
    "never": CalendarPolicy(float("inf")),
    "always": CalendarPolicy(0.0),
}


def _look(scene: PolicyContext, alarm: bool, reason: str) -> PolicyDecision:
    return PolicyDecision(scene.end, alarm, "drift" if alarm else "steady", (reason,))
