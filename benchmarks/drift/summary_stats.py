"""Trials and courses as figures: shares with exact intervals (Clopper & Pearson, 1934), delays, costs and regret."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scipy.stats import binomtest

from benchmarks.drift.detection_trials import KINDS, DetectionTrial
from monitoring.simulation.replay import ReplayResult, lost
from tierrec_core.evaluation.bootstrap import ConfidenceInterval

PLACEBO, STATIONARY = "placebo", "stationary"
SHARES = (10, 20, 40)
DELAY = "delay 20%"
_CHANGES = ("new category", "collapse", "season")


def share(found: int, of: int) -> ConfidenceInterval:
    """found / of with its exact binomial interval of 95%; of is at least 1."""
    low, high = binomtest(found, of).proportion_ci(method="exact")
    return ConfidenceInterval(found / of, float(low), float(high))


def figures_of(name: str, interval: ConfidenceInterval) -> dict[str, float]:
    """A figure and the ends of its interval, by three flat keys."""
    ends = {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {key: round(value, 6) for key, value in ends.items()}


def detection(trials: Sequence[DetectionTrial]) -> dict[str, Any]:
    """False alarms, power and delay of our verdict, and of each rival on the same windows."""
    found: dict[str, Any] = {}
    for policy in sorted({name for trial in trials for name in trial.alarms}):
        prefix = "" if policy == "ours" else f"{policy}_"
        found |= {prefix + key: value for key, value in _of_policy(trials, policy).items()}
    flat = [trial for trial in trials if trial.what in (PLACEBO, STATIONARY)]
    found["placebo_windows"] = len(flat)
    for what, key in ((PLACEBO, "real"), (STATIONARY, "synthetic")):
        part = [trial for trial in flat if trial.what == what]
        found[f"placebo_windows_{key}"] = len(part)
        found |= _rate(f"false_alarm_rate_{key}", [trial.alarms["ours"] for trial in part])
    found |= _rate("placebo_called_fault", [trial.state == "fault" for trial in flat])
    return found


def named(trials: Sequence[DetectionTrial], broken: Iterable[str], bots: Iterable[str]) -> dict[str, Any]:
    """How often faults of the data were named as such, how often they would have started a retrain; other changes."""
    found: dict[str, Any] = {}
    faults = [trial for trial in trials if trial.what == "fault"]
    for part in sorted({trial.part for trial in faults}):
        found |= _rate(
            f"fault_{part}_named", [one.state == "fault" for one in faults if one.part == part], ends=False
        )
    for key, parts in (("broken_feed", tuple(broken)), ("bot_wave", tuple(bots))):
        found |= _rate(f"{key}_named", [one.state == "fault" for one in faults if one.part in parts])
    found |= _rate("faults_retrained", [one.alarms["ours"] for one in faults])
    found["faults_trials"] = len(faults)
    for policy in sorted({name for one in faults for name in one.alarms} - {"ours"}):
        alarms = [one.alarms[policy] for one in faults if policy in one.alarms]
        found |= _rate(f"{policy}_faults_retrained", alarms, ends=False)
    for what, part in sorted({(one.what, one.part) for one in trials if one.what in _CHANGES}):
        key = f"{what} {part}".strip().replace(" ", "_").replace("%", "")
        chosen = [one for one in trials if (one.what, one.part) == (what, part)]
        for state in ("drift", "fault"):
            found |= _rate(f"{key}_{state}", [one.state == state for one in chosen], ends=False)
    real = [trial.alarms["ours"] for trial in trials if trial.what == "real"]
    return found | {"real_windows": len(real), "real_windows_alarm": sum(real)}


def courses(found: Mapping[str, ReplayResult], suffix: str, seed: int) -> dict[str, Any]:
    """Retrains, CPU seconds and regret of each policy, beside the one that always retrains."""
    figures: dict[str, Any] = {}
    for name, course in found.items():
        figures |= {
            f"{name}_retrains{suffix}": course.retrains,
            f"{name}_cpu_seconds{suffix}": round(course.retrain_seconds + course.watch_seconds, 2),
            f"{name}_ndcg{suffix}": round(course.ndcg, 6),
        }
        figures |= figures_of(f"{name}_regret{suffix}", lost(course, found["always"], seed))
    return figures


def _of_policy(trials: Sequence[DetectionTrial], policy: str) -> dict[str, Any]:
    asked = [trial for trial in trials if policy in trial.alarms]
    calm = [trial.alarms[policy] for trial in asked if trial.what in (PLACEBO, STATIONARY)]
    found = _rate("false_alarm_rate", calm)
    for percent in SHARES:
        moved = [trial for trial in asked if trial.what == f"interests {percent}%"]
        found |= _rate(f"power_{percent}", [trial.alarms[policy] for trial in moved])
        for kind in KINDS:
            part = [trial.alarms[policy] for trial in moved if trial.part == kind]
            found |= _rate(f"power_{percent}_{kind}", part, ends=False)
    return found | _delay(asked, policy)


def _delay(trials: Sequence[DetectionTrial], policy: str) -> dict[str, Any]:
    """Mean windows from a shift to the first alarm, over the shifts that were found within one window; their share."""
    story: dict[tuple[str, float, int, str], list[DetectionTrial]] = {}
    for trial in trials:
        if trial.what == DELAY:
            story.setdefault((trial.world, trial.cut, trial.seed, trial.part), []).append(trial)
    if not story:
        return {}
    width = max(trial.days for looks in story.values() for trial in looks)
    first = [min((one.days for one in looks if one.alarms[policy]), default=None) for looks in story.values()]
    seen = [days for days in first if days is not None]
    mean = round(sum(seen) / len(seen) / width, 4) if seen else None
    return {
        "delay_windows": mean,
        "delay_found": round(len(seen) / len(first), 4),
        "delay_shifts": len(first),
    }


def _rate(name: str, outcomes: Sequence[bool], *, ends: bool = True) -> dict[str, Any]:
    """Nothing where nothing was tried."""
    if not outcomes:
        return {}
    found = figures_of(name, share(sum(outcomes), len(outcomes)))
    return found if ends else {name: found[name]}
