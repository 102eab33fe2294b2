"""The retrain decision: by what the champion has lost, or by a drift alarm; with a cool-down and a weekly budget."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from monitoring.drift.canary import CanaryResult
from monitoring.drift.retrain_value import RetrainValue
from monitoring.drift.verdict import DriftVerdict
from tierrec_core.settings import MonitorSettings, RetrainSettings

Act = Literal["retrain", "none", "wait", "fault", "held"]
_WEEK = 7.0
_DEFAULTS = RetrainSettings()


@dataclass(frozen=True)
class DriftDecision:
    """The decision on one window.

    at: time of the decision, ISO, UTC; window_end: days since 1970 UTC
    model: version in force; key: hash of model and window, so that a repeated alarm counts once
    value: what the champion has lost, None where that was not asked
    """

    at: str
    window_end: float
    act: Act
    reasons: tuple[str, ...]
    model: str
    key: str
    value: RetrainValue | None = None


def decide(
    verdict: DriftVerdict,
    past: Sequence[DriftDecision],
    settings: MonitorSettings,
    *,
    model: str,
    at: datetime,
    held: bool = False,
    challenger: str = "",
    canary: CanaryResult | None = None,
    retrain: RetrainSettings = _DEFAULTS,
) -> DriftDecision:
    """Decide on a verdict, given earlier decisions in any order; `held` suspends retrains.

    A retrain starts when it pays by the canary's measure, of the loss since the last retrain of this model, whatever
    came of it. An alarm asks for one, too, unless the canary contradicts it, which it does not for a new category, of
    which a retrain has a week more. Where the canary measured nothing, alarms decide alone.
    No retrain starts while a `challenger`, a Bento's tag, is being rolled out: it would replace it.
    Cool-down and week are counted in days of the log, from window end to window end, so that replays agree.
    """
    key = hashlib.sha256(f"{model}|{verdict.end:.6f}".encode()).hexdigest()[:16]
    value = _value(canary, past, model, retrain) if canary else None
    act, reason = _act(verdict, value, past, settings, key)
    if act == "retrain" and challenger:
        act, reason = "wait", f"{challenger} is being rolled out; `tierrec promote` or `tierrec rollback` ends that"
    elif act == "retrain" and held:
        act, reason = "held", "the loop is on hold; `tierrec hold --off` resumes it"
    reasons = (*([reason] if reason else []), *([value.sentence()] if value else []), *verdict.reasons())
    timestamp = at.astimezone(UTC).isoformat(timespec="seconds")
    return DriftDecision(timestamp, verdict.end, act, reasons, model, key, value)


def _value(canary: CanaryResult, past: Sequence[DriftDecision], model: str, settings: RetrainSettings) -> RetrainValue:
    """The loss since the model's training or, if a retrain was started for it since, from there."""
    earlier = [decision for decision in past if decision.model == model and decision.window_end < canary.end]
    retrained = max((decision.window_end for decision in earlier if decision.act == "retrain"), default=None)
    canaries = (decision.value.canary for decision in past if decision.value)
    return RetrainValue.of(canary, canaries, settings.worth, retrained)


def _act(
    verdict: DriftVerdict,
    value: RetrainValue | None,
    past: Sequence[DriftDecision],
    settings: MonitorSettings,
    key: str,
) -> tuple[Act, str]:
    if verdict.state == "fault":
        return "fault", ""
    if value is None or not value.pays:
        if verdict.state == "steady":
            return "none", ""
        if value is not None and value.cannot_pay and not verdict.has_unknown_category:
            return "none", "nothing to do: users' behaviour changed, and surely less is lost than a retrain is worth"
    retrains = [decision for decision in past if decision.act == "retrain"]
    if any(decision.key == key for decision in retrains):
        return "wait", "this alarm has already started a retrain"
    ages = [verdict.end - decision.window_end for decision in retrains]
    newest = min(ages, default=float("inf"))
    if newest < settings.cooldown_days:
        return "wait", f"cool-down: {newest:g} of {settings.cooldown_days:g} days since the last retrain"
    recent = sum(age < _WEEK for age in ages)
    if recent >= settings.retrains_a_week:
        return "wait", f"weekly limit reached: {recent} of {settings.retrains_a_week} retrains in seven days"
    return "retrain", ""
