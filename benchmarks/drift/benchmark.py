"""python -m benchmarks.drift.benchmark: false alarms, power, delay, faults and cost of our verdict and of its rivals.

On windows of the real year and of made shops of which it is known what changed; printed and merged into drift.json
and drift.md beside this file. drift.json says how long it took; --quick is a trial run that keeps nothing.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.drift import detection_trials, summary_stats
from benchmarks.drift.detection_trials import DetectionTrial, TrialWindows
from benchmarks.drift.figures import keep, known
from benchmarks.drift.page import page
from benchmarks.serving.report import revision
from monitoring.simulation import faults, synthetic_drift
from monitoring.simulation.policies import POLICIES
from monitoring.simulation.replay import Replay, ReplayClock, ReplayResult, lost
from monitoring.simulation.world import ReplayWorld, complete_journey, synthetic
from tierrec_core.settings import MonitorSettings

HERE = Path(__file__).parent
SEED = 20_17
SETTINGS = MonitorSettings()
CUTS = (140, 168, 196, 224, 252, 280, 308)  # days of the real year, each with past pairs before it
REAL_CUTS = tuple(range(140, 337, 14))
CHANGE_DAY = 196.0
RIVALS = tuple(name for name in POLICIES if name != "ours")
KEPT = ("end_to_end_", "gate_")  # figures that other commands bring
_STEP = 14.0


@dataclass(frozen=True)
class Plan:
    """How much is tried: deals of each pair of real windows, how many of these also carry changes, and made shops."""

    deals: int = 18
    powered: int = 7
    delayed: int = 3
    faulty: int = 2
    stationary: int = 84
    seasonal: int = 8
    worlds: tuple[str, ...] = ("", "_as_it_was", "_diffuse", "_new_category")
    cuts: tuple[int, ...] = CUTS


QUICK = Plan(1, 1, 1, 1, 4, 1, ("",), CUTS[2:4])


@cache
def real() -> ReplayWorld:
    """The real year, read once a process."""
    return complete_journey()


def dealt(cut: int, number: int, plan: Plan) -> list[DetectionTrial]:
    """One deal of two neighbouring windows, and what is done to it."""
    windows = TrialWindows.placebo(real(), real().start + cut, SETTINGS, SEED + 1000 * cut + number)
    found = [windows.trial(summary_stats.PLACEBO, rivals=RIVALS)]
    if number < plan.powered:
        found += detection_trials.power(
            windows, tuple(percent / 100 for percent in summary_stats.SHARES), RIVALS
        )
    if number < plan.delayed:
        found += detection_trials.delays(windows, 0.2, RIVALS)
    if number < plan.faulty:
        found += [*detection_trials.broken(windows, RIVALS), *detection_trials.changed(windows)]
    return found


def as_it_was(cut: int) -> list[DetectionTrial]:
    """Two neighbouring windows of the real year as they came."""
    return [TrialWindows.between(real(), real().start + cut, SETTINGS, SEED).trial("real", rivals=RIVALS)]


def stationary(number: int) -> list[DetectionTrial]:
    """Two windows of a made shop in which nothing ever changes."""
    world = synthetic(SEED + number)
    return [
        TrialWindows.between(world, world.start + 224, SETTINGS, number).trial(
            summary_stats.STATIONARY, rivals=RIVALS
        )
    ]


def seasonal(number: int) -> list[DetectionTrial]:
    """A season of a made shop, and its return."""
    world = synthetic(SEED + number, num_users=300, days=660)
    return list(detection_trials.seasonal(world, world.start + 224, SETTINGS, number))


def missing_kind(number: int) -> list[DetectionTrial]:
    """A made shop, which has several kinds of events, loses one."""
    world = synthetic(SEED + number)
    windows = TrialWindows.between(world, world.start + 224, SETTINGS, number)
    return [windows.trial("fault", "missing_kind", windows.broken(faults.missing_kind))]


def replayed(suffix: str) -> dict[str, Any]:
    """The real year with a clock, with a change half-way, under every policy."""
    world = _changed(suffix)
    ticks = int((world.end - world.start - CUTS[0]) // _STEP) - 1
    replay = Replay(world, ReplayClock(world.start + CUTS[0], _STEP, ticks), SETTINGS, SEED)
    found = {name: replay.run(policy) for name, policy in POLICIES.items()}
    figures = summary_stats.courses(found, suffix, SEED)
    since = world.start + CHANGE_DAY
    figures |= _gain(f"retrained_minus_frozen{suffix}", found, since)
    served = Replay(world, replay.clock, SETTINGS, SEED, fresh=False)
    ahead = {name: served.run(POLICIES[name]) for name in ("ours", "never")}
    figures |= _gain(f"retrained_minus_frozen_lists_made_ahead{suffix}", ahead, since)
    figures[f"replay_ticks{suffix}"] = ticks
    figures[f"replay_alarms{suffix}"] = [
        f"day {step.look.end - world.start:.0f}: {step.look.reasons[0]}"
        for step in found["ours"].steps
        if step.look.state != "steady"
    ]
    return figures


def _changed(suffix: str) -> ReplayWorld:
    world, rng = real(), np.random.default_rng(SEED)
    start = world.start + CHANGE_DAY
    asked = {"share": 0.2, "start": start, "rng": rng}
    match suffix:
        case "_as_it_was":
            return world
        case "_new_category":
            return world.after(synthetic_drift.new_category(world.events, world.items, **asked))
        case "_diffuse":
            return world.after(synthetic_drift.interests(world.events, world.items, kind="diffuse", **asked))
    return world.after(synthetic_drift.interests(world.events, world.items, **asked))


def _gain(name: str, found: dict[str, ReplayResult], since: float) -> dict[str, float]:
    """NDCG@10 of our course over the model that nobody ever retrained."""
    return summary_stats.figures_of(name, lost(found["never"], found["ours"], SEED, since))


def jobs(plan: Plan) -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    """All that is measured, the longest first; each job is a name, a function of this module and its arguments."""
    yield from (("replay", replayed, (suffix,)) for suffix in plan.worlds)
    yield from (
        (f"deal {number} at day {cut}", dealt, (cut, number, plan))
        for number in range(plan.deals)
        for cut in plan.cuts
    )
    yield from ((f"real day {cut}", as_it_was, (cut,)) for cut in REAL_CUTS[:: 1 if plan != QUICK else 8])
    yield from ((f"made shop {number}", stationary, (number,)) for number in range(plan.stationary))
    yield from ((f"season {number}", seasonal, (number,)) for number in range(plan.seasonal))
    yield from ((f"missing kind {number}", missing_kind, (number,)) for number in range(plan.seasonal))


def measure(plan: Plan, workers: int) -> tuple[list[DetectionTrial], dict[str, Any]]:
    """Run all jobs, some at a time; the results do not hang on how many."""
    todo, begun = list(jobs(plan)), time.monotonic()
    found: list[list[DetectionTrial]] = [[] for _ in todo]
    figures: dict[str, Any] = {}
    with ProcessPoolExecutor(workers, get_context("spawn"), threadpool_limits, (1,)) as pool:
        waiting = {pool.submit(job, *arguments): place for place, (_, job, arguments) in enumerate(todo)}
        for done, future in enumerate(as_completed(waiting), 1):
            result = future.result()
            if isinstance(result, dict):
                figures |= result
            else:
                found[waiting[future]] = result
            _progress(done, len(todo), todo[waiting[future]][0], result, time.monotonic() - begun)
    return [trial for part in found for trial in part], figures


def _progress(done: int, total: int, name: str, result: Any, seconds: float) -> None:
    flat = [
        one
        for one in result
        if isinstance(one, DetectionTrial) and one.what in (summary_stats.PLACEBO, summary_stats.STATIONARY)
    ]
    alarm = "; FALSE ALARM " + flat[0].reasons[0] if any(one.alarms["ours"] for one in flat) else ""
    print(f"{done}/{total} {seconds:.0f} s: {name}{alarm}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few of everything; nothing is kept")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    plan, begun = QUICK if asked.quick else Plan(), time.monotonic()
    made, figures = measure(plan, asked.workers)
    figures |= summary_stats.detection(made)
    figures |= summary_stats.named(made, faults.BROKEN_FEEDS, faults.BOT_WAVES)
    figures |= {
        "command": "python -m benchmarks.drift.benchmark" + (" --quick" if asked.quick else ""),
        "git_revision": revision(HERE.parent.parent),
        "seed": SEED,
        "workers": asked.workers,
        "wall_seconds": round(time.monotonic() - begun),
    }
    figures = {key: value for key, value in known().items() if key.startswith(KEPT)} | figures
    text = page(figures, made)
    print(text)
    if not asked.quick:
        keep(figures)
        (HERE / "drift.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
