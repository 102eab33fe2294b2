"""Retrain policies: the platform's decision, drift alone, population stability index, Evidently's preset, calendars."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
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
from monitoring.drift.canary import CanaryResult, CanaryTask, run_canary
from monitoring.drift.feed.feed_log import events_between
from monitoring.simulation.world import TASK
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import MonitorSettings, RetrainSettings

_EMPTY_SHARE = 1e-4  # replaces the share of an empty category, as is usual for this index
CATEGORIES = ("category", "event", "channel")
NUMBERS = ("price", "value", "quantity")


@dataclass(frozen=True)
class EvidentlyPreset:
    """Result of Evidently's preset. dataset: whether at least half of the columns drifted; columns: which did."""

    dataset: bool
    columns: frozenset[str]

    @classmethod
    def of(cls, before: pd.DataFrame, after: pd.DataFrame) -> Self:
        """Run the preset with all defaults on two frames; columns that are empty in one of them are left out."""
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        filled = [name for name in before if before[name].notna().any() and after[name].notna().any()]
        definition = DataDefinition(
            categorical_columns=[name for name in filled if name in CATEGORIES],
            numerical_columns=[name for name in filled if name in NUMBERS],
        )
        current, reference = (Dataset.from_pandas(frame[filled], definition) for frame in (after, before))
        metrics = Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]
        (total,) = (metric for metric in metrics if "drift_share" in metric["config"])
        return cls(
            total["value"]["share"] >= total["config"]["drift_share"],
            frozenset(
                metric["config"]["column"] for metric in metrics if "column" in metric["config"] and _drifted(metric)
            ),
        )


def _drifted(metric: Mapping[str, Any]) -> bool:
    """Whether a distance reaches its threshold, or a p-value, which Evidently uses for few rows, is below it."""
    value, threshold = float(metric["value"]), float(metric["config"]["threshold"])
    return value < threshold if "p_value" in str(metric["config"]["method"]) else value >= threshold


def population_stability_index(before: IntArray | FloatArray, after: IntArray | FloatArray) -> float:
    """PSI of two sets of counts over the same categories, [C] each; usual limits are .1 and .2."""
    shares = [np.maximum(counts / max(counts.sum(), 1), _EMPTY_SHARE) for counts in (before, after)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def detector_frame(
    events: pd.DataFrame, items: pd.DataFrame, start: float, end: float, max_rows: int, seed: int
) -> pd.DataFrame:
    """The window's EVENTS joined with ITEMS, at most max_rows: users with all their rows, in random order."""
    window = events_between(events, start, end)
    size = window["user_id"].value_counts().sort_index().sample(frac=1.0, random_state=seed)
    window = window[window["user_id"].isin(size.index[size.cumsum() <= max_rows])]
    window_items = items.drop_duplicates("item_id").set_index("item_id").reindex(window["item_id"])
    columns = {name: window[name].astype(object).to_numpy() for name in ("event", "channel")}
    columns["category"] = window_items["category"].astype(object).to_numpy()
    numbers = {"price": window_items["price"], "value": window["value"], "quantity": window["quantity"]}
    return pd.DataFrame(
        columns | {name: column.to_numpy(dtype=float, na_value=np.nan) for name, column in numbers.items()}
    )


@dataclass(frozen=True)
class PolicyContext:
    """Input of a policy at one time: the log so far, and the model in force.

    events: EVENTS, of which only those before `end` are used, days since 1970 UTC; all of them, as the monitor has, so
        that feed checks know past seasons
    reference: of the model in force; its cut is the day before which the model was trained
    """

    events: pd.DataFrame
    items: pd.DataFrame
    reference: DriftReference
    end: float
    settings: MonitorSettings
    seed: int
    online: OnlineMetrics | None = None
    task: CanaryTask = TASK
    retrain: RetrainSettings = field(default_factory=RetrainSettings)

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

    def canary(self) -> CanaryResult:
        """What a retrain would have gained in the last week."""
        return run_canary(self.events, self.reference.cut, self.end, self.task, self.seed)


@dataclass(frozen=True)
class PolicyDecision:
    """A decision at one time; state: steady, drift, fault, or empty for a policy that does not inspect the data."""

    end: float
    retrain: bool
    state: str = ""
    reasons: tuple[str, ...] = ()
    drift_decision: DriftDecision | None = None


RetrainPolicy = Callable[[PolicyContext, Sequence[PolicyDecision]], PolicyDecision]
"""A rule for when to retrain: decides at one time, given earlier decisions, oldest first."""


def drift_policy(context: PolicyContext, past: Sequence[PolicyDecision], *, canary: bool) -> PolicyDecision:
    """The platform's decision, with cool-down, budget and data faults; without the canary drift alone decides."""
    verdict = context.verdict()
    decision = decide(
        verdict,
        [earlier.drift_decision for earlier in past if earlier.drift_decision],
        context.settings,
        model=f"day {context.reference.cut:.0f}",
        at=from_days(context.end).to_pydatetime(),
        canary=context.canary() if canary and verdict.state != "fault" else None,
        retrain=context.retrain,
    )
    return PolicyDecision(context.end, decision.act == "retrain", verdict.state, decision.reasons, decision)


def psi_policy(context: PolicyContext, _past: Sequence[PolicyDecision], *, threshold: float) -> PolicyDecision:
    """Retrain when the population stability index of all users' events by category reaches a threshold."""
    before, after = (window.counts.sum(axis=0) for window in (context.reference.window, context.window))
    psi = population_stability_index(before, after)
    return _on_alarm(context, psi >= threshold, f"PSI {psi:.4f} (limit {threshold:g})")


def evidently_policy(
    context: PolicyContext, _past: Sequence[PolicyDecision], *, column: str | None = None
) -> PolicyDecision:
    """Retrain when Evidently's preset, with all its defaults, finds drift of the data set, or of one column."""
    preset = context.preset
    alarm = preset.dataset if column is None else column in preset.columns
    return _on_alarm(context, alarm, f"drifted: {', '.join(sorted(preset.columns)) or 'no column'}")


def calendar_policy(context: PolicyContext, _past: Sequence[PolicyDecision], *, days: float) -> PolicyDecision:
    """Retrain when the model in force is `days` old."""
    return PolicyDecision(context.end, bool(context.end - context.reference.cut >= days - 1e-9))


POLICIES: Mapping[str, RetrainPolicy] = {
    "ours": partial(drift_policy, canary=True),
    "drift": partial(drift_policy, canary=False),
    "psi_10": partial(psi_policy, threshold=0.1),
    "psi_20": partial(psi_policy, threshold=0.2),
    "evidently": evidently_policy,
    "evidently_category": partial(evidently_policy, column="category"),
    "monthly": partial(calendar_policy, days=28.0),
    "six_weeks": partial(calendar_policy, days=42.0),
    "never": partial(calendar_policy, days=float("inf")),
    "always": partial(calendar_policy, days=0.0),
}


def _on_alarm(context: PolicyContext, alarm: bool, reason: str) -> PolicyDecision:
    return PolicyDecision(context.end, alarm, "drift" if alarm else "steady", (reason,))
