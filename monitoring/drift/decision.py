"""What to do about a verdict: retrain, or not, or not yet; within a cool-down and a budget of retrains a week."""

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
    """One look at one window, and what came of it.

    at: when it was made, ISO, UTC; window_end: days since 1970 UTC
    model: version in force; key: the same for the same model and window, so that an alarm that fires twice is one
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
    """Weigh a verdict against earlier decisions, in any order. Held: a person wants to look, and start nothing.

    Cool-down and week are counted in days of the log, from window end to window end, so that a replay decides alike.
    """
    key = hashlib.sha256(f"{model}|{verdict.end:.6f}".encode()).hexdigest()[:16]
    act, why = _act(verdict, past, settings, key, held)
    reasons = (*([why] if why else []), *verdict.reasons())
    moment = at.astimezone(UTC).isoformat(timespec="seconds")
    return DriftDecision(moment, verdict.end, act, reasons, model, key)


def _act(
    verdict: DriftVerdict, past: Sequence[DriftDecision], settings: MonitorSettings, key: str, held: bool
) -> tuple[Act, str]:
    match verdict.state:
        case "fault":
            return "fault", ""
        case "steady":
            return "none", ""
    retrains = [one for one in past if one.act == "retrain"]
    if any(one.key == key for one in retrains):
        return "wait", "this alarm has started a retrain already"
    ages = [verdict.end - one.window_end for one in retrains]
    newest = min(ages, default=float("inf"))
    if newest < settings.cooldown_days:
        return "wait", f"cooling down: {newest:g} of {settings.cooldown_days:g} days since the last retrain"
    spent = sum(age < _WEEK for age in ages)
    if spent >= settings.retrains_a_week:
        return "wait", f"the budget is spent: {spent} of {settings.retrains_a_week} retrains in seven days"
    if held:
        return "held", "a person holds the loop; `tierrec hold --off` lets it go on"
    return "retrain", ""
