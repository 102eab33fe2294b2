"""Retrain policies: the drift verdict, PSI, Evidently's preset, a calendar, never and always."""

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
    evaluate_window,
    measure_window,
)
from monitoring.simulation.baseline_detectors import EvidentlyPreset, detector_frame, population_stability_index
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import MonitorSettings


@dataclass(frozen=True)
class PolicyContext:
    """What is known at one time: the log so far, and the model in force.

    events: EVENTS, of which only those before `end` are used, days since 1970 UTC
    reference: of the model in force; its cut is the day before which the model was trained
    """

    events: pd.DataFrame
    items: pd.DataFrame
    reference: DriftReference
    end: float
    settings: MonitorSettings
    seed: int
    online: OnlineMetrics | None = None

    @cached_property
    def window(self) -> WindowMeasurement:
        """Measurement of the current window."""
        return measure_window(self.reference, self.events, self.items, self.end)

    @cached_property
    def preset(self) -> EvidentlyPreset:
        """Evidently's preset on the current and the reference window."""
        width, max_rows = self.settings.window_days, self.settings.report_rows
        before, after = (
            detector_frame(self.events, self.items, end - width, end, max_rows, self.seed)
            for end in (self.reference.cut, self.end)
        )
        return EvidentlyPreset.of(before, after)

    def verdict(self) -> DriftVerdict:
        """The drift verdict on the current window."""
        now = from_days(self.end).to_pydatetime()
        feed = FeedChecks.measure(self.events, self.items, self.reference, self.end, self.settings, now)
        return evaluate_window(self.reference, self.window, feed, self.settings, self.seed, self.online)


@dataclass(frozen=True)
class PolicyDecision:
    """A policy's state and decision at one time.

    state: steady, drift or fault; empty for a policy that does not inspect the data
    """

    end: float
    retrain: bool
    state: str = ""
    reasons: tuple[str, ...] = ()
    drift_decision: DriftDecision | None = None


class RetrainPolicy(Protocol):
    """A rule for when to retrain."""

    def decide(self, context: PolicyContext, past: Sequence[PolicyDecision], /) -> PolicyDecision:
        """Decide at one time, given earlier decisions, oldest first."""
        ...


@dataclass(frozen=True)
class DriftPolicy:
    """The platform's verdict and decision, with cool-down, budget and data faults."""

    def decide(self, context: PolicyContext, past: Sequence[PolicyDecision], /) -> PolicyDecision:
        """Evaluate the window and decide."""
        verdict = context.verdict()
        decision = decide(
            verdict,
            [earlier.drift_decision for earlier in past if earlier.drift_decision],
            context.settings,
            model=f"day {context.reference.cut:.0f}",
            at=from_days(context.end).to_pydatetime(),
        )
        retrain = decision.act == "retrain"
        return PolicyDecision(context.end, retrain, verdict.state, decision.reasons, decision)


@dataclass(frozen=True)
class PsiPolicy:
    """Retrain when the population stability index of the categories reaches a threshold."""

    threshold: float

    def decide(self, context: PolicyContext, _past: Sequence[PolicyDecision], /) -> PolicyDecision:
        """Compare all users' events by category with the reference's."""
        before, after = (window.counts.sum(axis=0) for window in (context.reference.window, context.window))
        psi = population_stability_index(before, after)
        return _on_alarm(context, psi >= self.threshold, f"PSI {psi:.4f} (limit {self.threshold:g})")


@dataclass(frozen=True)
class EvidentlyPolicy:
    """Retrain when Evidently's preset, with all its defaults, finds drift of the data set, or of one column."""

    column: str | None = None

    def decide(self, context: PolicyContext, _past: Sequence[PolicyDecision], /) -> PolicyDecision:
        """Apply the preset to both windows."""
        preset = context.preset
        alarm = preset.dataset if self.column is None else self.column in preset.columns
        return _on_alarm(context, alarm, f"drifted: {', '.join(sorted(preset.columns)) or 'no column'}")


@dataclass(frozen=True)
class CalendarPolicy:
    """Retrain when the model in force is `days` old."""

    days: float

    def decide(self, context: PolicyContext, _past: Sequence[PolicyDecision], /) -> PolicyDecision:
        """Compare the model's age."""
        return PolicyDecision(context.end, context.end - context.reference.cut >= self.days - 1e-9)


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


def _on_alarm(context: PolicyContext, alarm: bool, reason: str) -> PolicyDecision:
    return PolicyDecision(context.end, alarm, "drift" if alarm else "steady", (reason,))
