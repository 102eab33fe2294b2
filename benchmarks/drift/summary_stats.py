"""Figures of detection trials and replays: rates with Clopper-Pearson intervals, delay, cost and regret."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scipy.stats import binomtest

from benchmarks.drift.detection_trials import KINDS, DetectionTrial
from monitoring.simulation.policy_costs import policy_costs
from monitoring.simulation.replay import ReplayResult
from tierrec_core.evaluation.bootstrap import ConfidenceInterval

PLACEBO, STATIONARY = "placebo", "stationary"
UNCHANGED = (PLACEBO, STATIONARY)
SHARES = (10, 20, 40)
DELAY = "delay 20%"
_CHANGES = ("new category", "collapse", "season")


def share_interval(count: int, total: int) -> ConfidenceInterval:
    """count / total with its exact binomial 95% interval; total is at least 1."""
    low, high = binomtest(count, total).proportion_ci(method="exact")
    return ConfidenceInterval(count / total, float(low), float(high))


def interval_figures(name: str, interval: ConfidenceInterval) -> dict[str, float]:
    """A figure and the ends of its interval under three flat keys."""
    ends = {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {key: round(value, 6) for key, value in ends.items()}


def detection_figures(trials: Sequence[DetectionTrial]) -> dict[str, Any]:
    """False alarms, power and delay of the drift verdict, and of each other policy on the same windows."""
    figures: dict[str, Any] = {}
    for policy in sorted({name for trial in trials for name in trial.alarms}):
        prefix = "" if policy == "ours" else f"{policy}_"
        figures |= {prefix + key: value for key, value in _policy_figures(trials, policy).items()}
    unchanged = [trial for trial in trials if trial.what in UNCHANGED]
    figures["placebo_windows"] = len(unchanged)
    for what, key in ((PLACEBO, "real"), (STATIONARY, "synthetic")):
        part = [trial for trial in unchanged if trial.what == what]
        figures[f"placebo_windows_{key}"] = len(part)
        figures |= rate_figures(f"false_alarm_rate_{key}", [trial.alarms["ours"] for trial in part])
    return figures | rate_figures("placebo_called_fault", [trial.state == "fault" for trial in unchanged])


def miss_figures(trials: Sequence[DetectionTrial]) -> dict[str, Any]:
    """Counts of the verdict's errors, by what they are, and of the trials in which they could occur."""
    shifts = [trial for trial in trials if trial.what.startswith("interests")]
    return {
        "false_alarm_families": Counter(
            family for trial in trials if trial.what in UNCHANGED for family in trial.families
        ),
        "missed_shifts": Counter(
            f"{trial.what} {trial.part} on day {trial.cut:.0f}" for trial in shifts if not trial.alarms["ours"]
        ),
        "wrong_faults": Counter(
            f"{trial.what} {trial.part}".strip() for trial in trials if trial.state == "fault" and trial.what != "fault"
        ),
        "unnamed_faults": Counter(trial.part for trial in trials if trial.what == "fault" and trial.state != "fault"),
        **{f"power_{n}_trials": sum(one.what == f"interests {n}%" for one in shifts) for n in SHARES},
    }


def change_figures(trials: Sequence[DetectionTrial], broken: Iterable[str], bots: Iterable[str]) -> dict[str, Any]:
    """How often faults of the data were named or would have started a retrain, and the verdicts on other changes."""
    figures: dict[str, Any] = {}
    faults = [trial for trial in trials if trial.what == "fault"]
    for part in sorted({trial.part for trial in faults}):
        named = [trial.state == "fault" for trial in faults if trial.part == part]
        figures |= rate_figures(f"fault_{part}_named", named, ends=False)
    for key, parts in (("broken_feed", tuple(broken)), ("bot_wave", tuple(bots))):
        figures |= rate_figures(f"{key}_named", [trial.state == "fault" for trial in faults if trial.part in parts])
    figures |= rate_figures("faults_retrained", [trial.alarms["ours"] for trial in faults])
    figures["faults_trials"] = len(faults)
    for policy in sorted({name for trial in faults for name in trial.alarms} - {"ours"}):
        alarms = [trial.alarms[policy] for trial in faults if policy in trial.alarms]
        figures |= rate_figures(f"{policy}_faults_retrained", alarms, ends=False)
    for what, part in sorted({(trial.what, trial.part) for trial in trials if trial.what in _CHANGES}):
        key = f"{what} {part}".strip().replace(" ", "_").replace("%", "")
        states = [trial.state for trial in trials if (trial.what, trial.part) == (what, part)]
        for state in ("drift", "fault"):
            figures |= rate_figures(f"{key}_{state}", [found == state for found in states], ends=False)
    real = [trial.alarms["ours"] for trial in trials if trial.what == "real"]
    return figures | {"real_windows": len(real), "real_windows_alarm": sum(real)}


def replay_figures(results: Mapping[str, ReplayResult], suffix: str, seed: int) -> dict[str, Any]:
    """Retrains, CPU seconds, NDCG and regret of each policy against the policy that always retrains."""
    figures: dict[str, Any] = {}
    for cost in policy_costs(results, seed):
        figures |= {
            f"{cost.policy}_retrains{suffix}": cost.retrains,
            f"{cost.policy}_cpu_seconds{suffix}": cost.cpu_seconds,
            f"{cost.policy}_ndcg{suffix}": cost.ndcg,
        }
        figures |= interval_figures(f"{cost.policy}_regret{suffix}", cost.regret)
    return figures


def _policy_figures(trials: Sequence[DetectionTrial], policy: str) -> dict[str, Any]:
    evaluated = [trial for trial in trials if policy in trial.alarms]
    unchanged = [trial.alarms[policy] for trial in evaluated if trial.what in UNCHANGED]
    figures = rate_figures("false_alarm_rate", unchanged)
    for percent in SHARES:
        shifted = [trial for trial in evaluated if trial.what == f"interests {percent}%"]
        figures |= rate_figures(f"power_{percent}", [trial.alarms[policy] for trial in shifted])
        for kind in KINDS:
            part = [trial.alarms[policy] for trial in shifted if trial.part == kind]
            figures |= rate_figures(f"power_{percent}_{kind}", part, ends=False)
    return figures | _delay_figures(evaluated, policy)


def _delay_figures(trials: Sequence[DetectionTrial], policy: str) -> dict[str, Any]:
    """Mean windows from a shift to the first alarm, over the shifts found within one window, and their share."""
    by_shift: dict[tuple[str, float, int, str], list[DetectionTrial]] = {}
    for trial in trials:
        if trial.what == DELAY:
            by_shift.setdefault((trial.world, trial.cut, trial.seed, trial.part), []).append(trial)
    if not by_shift:
        return {}
    width = max(trial.days for shift in by_shift.values() for trial in shift)
    first = [min((trial.days for trial in shift if trial.alarms[policy]), default=None) for shift in by_shift.values()]
    found = [days for days in first if days is not None]
    return {
        "delay_windows": round(sum(found) / len(found) / width, 4) if found else None,
        "delay_found": round(len(found) / len(first), 4),
        "delay_shifts": len(first),
    }


def rate_figures(name: str, outcomes: Sequence[bool], *, ends: bool = True) -> dict[str, Any]:
    """Figures of a rate; empty without outcomes."""
    if not outcomes:
        return {}
    figures = interval_figures(name, share_interval(sum(outcomes), len(outcomes)))
    return figures if ends else {name: figures[name]}
