"""The retrain decision on a verdict, with a cool-down and a weekly budget."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from monitoring.drift.verdict import DriftVerdict
from tierrec_core.settings import MonitorSettings

Act = Literal["retrain", "none", "wait", "fault", "held"]
_WEEK = 7.0


@dataclass(frozen=True)
class DriftDecision:
    """The decision on one window.

    at: time of the decision, ISO, UTC; window_end: days since 1970 UTC
    model: version in force; key: hash of model and window, so that a repeated alarm counts once
    """

    at: str
    window_end: float
    act: Act
    reasons: tuple[str, ...]
    model: str
    key: str


def decide(
    verdict: DriftVerdict,
    past: Sequence[DriftDecision],
    settings: MonitorSettings,
    *,
    model: str,
    at: datetime,
    held: bool = False,
) -> DriftDecision:
    """Decide on a verdict, given earlier decisions in any order; `held` suspends retrains.

    Cool-down and week are counted in days of the log, from window end to window end, so that replays agree.
    """
    key = hashlib.sha256(f"{model}|{verdict.end:.6f}".encode()).hexdigest()[:16]
    act, reason = _act(verdict, past, settings, key, held)
    reasons = (*([reason] if reason else []), *verdict.reasons())
    timestamp = at.astimezone(UTC).isoformat(timespec="seconds")
    return DriftDecision(timestamp, verdict.end, act, reasons, model, key)


def _act(
    verdict: DriftVerdict, past: Sequence[DriftDecision], settings: MonitorSettings, key: str, held: bool
) -> tuple[Act, str]:
    match verdict.state:
        case "fault":
            return "fault", ""
        case "steady":
            return "none", ""
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
    if held:
        return "held", "the loop is on hold; `tierrec hold --off` resumes it"
    return "retrain", ""
