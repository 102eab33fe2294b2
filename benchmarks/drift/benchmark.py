"""python -m benchmarks.drift.benchmark: false alarms, power, delay, fault checks and cost of the drift verdict.

Compares it with other retrain policies on windows of the real year and of synthetic shops with known changes. Prints
the figures and merges them into drift.json and drift.md in this folder. An interrupted run of a clean revision goes on
where it was. --quick is a trial run that records nothing; --page rewrites drift.md from drift.json without measuring.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from benchmarks.drift import detection_trials, summary_stats
from benchmarks.drift.detection_trials import DetectionTrial, TrialWindows
from benchmarks.drift.frontier import frontier_figures
from benchmarks.drift.page import drift_page
from benchmarks.drift.parallel import Job, run_jobs
from benchmarks.drift.results_file import PAGE, merge_figures, read_figures
from benchmarks.serving.report import revision
from monitoring.simulation import faults, synthetic_drift
from monitoring.simulation.policies import POLICIES
from monitoring.simulation.replay import Replay, ReplayClock, ReplayResult, ndcg_loss
from monitoring.simulation.world import ReplayWorld, complete_journey_world, synthetic_world
from tierrec_core.settings import MonitorSettings

HERE = Path(__file__).parent
SEED = 20_17
SETTINGS = MonitorSettings()
CUTS = (140, 168, 196, 224, 252, 280, 308)  # days of the real year, each with past pairs before it
REAL_CUTS = tuple(range(140, 337, 14))
CHANGE_DAY = 196.0
OTHER_POLICIES = tuple(name for name in POLICIES if name not in ("ours", "drift"))
OTHER_COMMANDS = ("end_to_end_", "gate_", "feed_fault_", "shift_")  # prefixes of the figures that other commands record
_STEP = 14.0


@dataclass(frozen=True)
class Plan:
    """Number of trials.

    placebos: random reassignments of each pair of real windows, of which the first `powered`, `delayed` and `faulty`
    also get shifts, shifts evaluated early, and faults
    stationary, seasonal: synthetic shops without a change, and with a season
    """

    placebos: int = 18
    powered: int = 7
    delayed: int = 3
    faulty: int = 2
    stationary: int = 84
    seasonal: int = 8
    worlds: tuple[str, ...] = ("", "_as_it_was", "_diffuse", "_new_category")
    cuts: tuple[int, ...] = CUTS


RESULT: TypeAdapter[list[DetectionTrial] | dict[str, Any]] = TypeAdapter(list[DetectionTrial] | dict[str, Any])
QUICK = Plan(1, 1, 1, 1, 4, 1, ("",), CUTS[2:4])


@cache
def real() -> ReplayWorld:
    """The real year, read once per process."""
    return complete_journey_world()


def placebo(cut: int, number: int, plan: Plan) -> list[DetectionTrial]:
    """Trials on one random reassignment of two adjacent windows of the real year."""
    windows = TrialWindows.placebo(real(), real().start + cut, SETTINGS, SEED + 1000 * cut + number)
    trials = [windows.trial(summary_stats.PLACEBO, policies=OTHER_POLICIES)]
    if number < plan.powered:
        shares = tuple(percent / 100 for percent in summary_stats.SHARES)
        trials += detection_trials.power_trials(windows, shares, OTHER_POLICIES)
    if number < plan.delayed:
        trials += detection_trials.delay_trials(windows, 0.2, OTHER_POLICIES)
    if number < plan.faulty:
        trials += detection_trials.fault_trials(windows, OTHER_POLICIES)
        trials += detection_trials.other_change_trials(windows)
    return trials


def unchanged_real(cut: int) -> list[DetectionTrial]:
    """Two adjacent windows of the real year."""
    windows = TrialWindows.at(real(), real().start + cut, SETTINGS, SEED)
    return [windows.trial("real", policies=OTHER_POLICIES)]


def _synthetic_windows(number: int) -> TrialWindows:
    world = synthetic_world(SEED + number)
    return TrialWindows.at(world, world.start + 224, SETTINGS, number)


def stationary(number: int) -> list[DetectionTrial]:
    """Two windows of a synthetic shop without drift."""
    return [_synthetic_windows(number).trial(summary_stats.STATIONARY, policies=OTHER_POLICIES)]


def seasonal(number: int) -> list[DetectionTrial]:
    """A season of a synthetic shop, and its return."""
    world = synthetic_world(SEED + number, num_users=300, days=660)
    return list(detection_trials.season_trials(world, world.start + 224, SETTINGS, number))


def missing_kind(number: int) -> list[DetectionTrial]:
    """A synthetic shop, which has several kinds of events, loses one."""
    windows = _synthetic_windows(number)
    return [windows.trial("fault", "missing_kind", windows.broken(faults.missing_kind))]


def replay_year(suffix: str) -> dict[str, Any]:
    """Replay the real year with a change half-way under every policy."""
    world = _changed_world(suffix)
    ticks = int((world.end - world.start - CUTS[0]) // _STEP) - 1
    replay = Replay(world, ReplayClock(world.start + CUTS[0], _STEP, ticks), SETTINGS, SEED)
    results = {name: replay.run(policy) for name, policy in POLICIES.items()}
    figures = summary_stats.replay_figures(results, suffix, SEED)
    since = world.start + CHANGE_DAY
    figures |= frontier_figures(replay, results, suffix, since)
    figures |= _gain_figures(f"retrained_minus_frozen{suffix}", results, since)
    batch = Replay(world, replay.clock, SETTINGS, SEED, fresh=False)
    batch_results = {name: batch.run(POLICIES[name]) for name in ("ours", "never")}
    figures |= _gain_figures(f"retrained_minus_frozen_lists_made_ahead{suffix}", batch_results, since)
    figures[f"replay_ticks{suffix}"] = ticks
    figures[f"replay_alarms{suffix}"] = [
        f"day {step.decision.end - world.start:.0f}, {'retrain' if step.decision.retrain else 'none'}: "
        + next(reason for reason in step.decision.reasons if " users: " in reason or reason.startswith("data fault"))
        for step in results["ours"].steps
        if step.decision.state != "steady"
    ]
    return figures


def _changed_world(suffix: str) -> ReplayWorld:
    world, rng = real(), np.random.default_rng(SEED)
    options = {"share": 0.2, "start": world.start + CHANGE_DAY, "rng": rng}
    match suffix:
        case "_as_it_was":
            return world
        case "_new_category":
            return world.after(synthetic_drift.add_category(world.events, world.items, **options))
        case "_diffuse":
            options["kind"] = "diffuse"
    return world.after(synthetic_drift.shift_interests(world.events, world.items, **options))


def _gain_figures(name: str, results: dict[str, ReplayResult], since: float) -> dict[str, float]:
    """NDCG@10 of the drift policy minus that of the model that is never retrained."""
    return summary_stats.interval_figures(name, ndcg_loss(results["never"], results["ours"], SEED, since))


def jobs(plan: Plan) -> Iterator[Job]:
    """All measurements, the longest first."""
    yield from (Job(f"replay{suffix}", replay_year, (suffix,)) for suffix in plan.worlds)
    yield from (
        Job(f"placebo-{number}-day-{cut}", placebo, (cut, number, plan))
        for number in range(plan.placebos)
        for cut in plan.cuts
    )
    yield from (Job(f"real-day-{cut}", unchanged_real, (cut,)) for cut in REAL_CUTS[:: 1 if plan != QUICK else 8])
    yield from (Job(f"synthetic-shop-{number}", stationary, (number,)) for number in range(plan.stationary))
    yield from (Job(f"season-{number}", seasonal, (number,)) for number in range(plan.seasonal))
    yield from (Job(f"missing-kind-{number}", missing_kind, (number,)) for number in range(plan.seasonal))


def measure(plan: Plan, workers: int) -> tuple[list[DetectionTrial], dict[str, Any]]:
    """Run all jobs in parallel; the results do not depend on the number of workers. Quick ones are not kept."""
    figures: dict[str, Any] = {}
    trials: list[DetectionTrial] = []
    for result in run_jobs(list(jobs(plan)), workers, RESULT, keep=plan != QUICK):
        if isinstance(result, dict):
            figures |= result
        else:
            trials += result
    return trials, figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few trials; nothing is recorded")
    parser.add_argument("--page", action="store_true", help="rewrite drift.md from drift.json, measure nothing")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    if options.page:
        PAGE.write_text(drift_page(read_figures()))
        return 0
    plan, started = QUICK if options.quick else Plan(), time.monotonic()
    trials, figures = measure(plan, options.workers)
    figures |= summary_stats.detection_figures(trials)
    figures |= summary_stats.miss_figures(trials)
    figures |= summary_stats.change_figures(trials, faults.BROKEN_FEEDS, faults.BOT_WAVES)
    figures |= {
        "git_revision": revision(HERE.parent.parent),
        "seed": SEED,
        "workers": options.workers,
        "wall_seconds": round(time.monotonic() - started),
    }
    recorded = {key: value for key, value in read_figures().items() if key.startswith(OTHER_COMMANDS)}
    text = drift_page(recorded | figures)
    print(text)
    if not options.quick:
        merge_figures(figures)
        PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
