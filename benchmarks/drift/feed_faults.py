"""python -m benchmarks.drift.feed_faults: which injected faults of a feed are named by their kind.

Applies every fault to windows of the real year and of synthetic shops, and looks for faults in unchanged windows and
after shifts of interests, where each is a false alarm. Prints the figures and merges them into drift.json and drift.md.
--quick is a trial run that records nothing.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from benchmarks.drift.benchmark import REAL_CUTS, SEED, SETTINGS, real
from benchmarks.drift.detection_trials import KINDS, TrialWindows
from benchmarks.drift.parallel import Job, parse_options, run_jobs
from benchmarks.drift.results_file import report
from benchmarks.drift.summary_stats import SHARES, rate_figures
from monitoring.drift import FeedChecks, evaluate_window, find_faults, measure_window
from monitoring.drift.feed.feed_log import is_interaction
from monitoring.simulation import faults
from monitoring.simulation.synthetic_drift import ChangedLog
from monitoring.simulation.world import ReplayWorld, synthetic_world

FAULT_CUTS = (168, 224, 280)
NUM_SHOPS = 8
_NEED_KINDS = ("missing_kind", "thinned_kind", "mimics_unconverted")  # of events, more than one
_CHANNELS, _CHANNEL_SHARES = ["web", "app", "store"], [0.55, 0.3, 0.15]
UNCHANGED, SHIFTED, FAULT = "unchanged", "shifted", "fault"


@dataclass(frozen=True)
class FeedTrial:
    """What was found in one window: what was done to it, the fault's name, the kinds found, whether it is drift."""

    world: str
    what: str
    part: str
    kinds: tuple[str, ...]
    is_drift: bool
    sentences: tuple[str, ...]


RESULT = TypeAdapter(list[FeedTrial])


def shop_with_channels(number: int) -> ReplayWorld:
    """A synthetic shop; every other one has three channels, drawn by session."""
    world = synthetic_world(SEED + number)
    if number % 2 == 0:
        return world
    session, _ = pd.factorize(world.events["session_id"])
    drawn = np.random.default_rng(number).choice(_CHANNELS, session.max() + 2, p=_CHANNEL_SHARES)[session]
    channel = world.events["channel"].mask(world.events["channel"].eq("web").to_numpy(dtype=bool), pd.Series(drawn))
    return ReplayWorld(world.name, world.events.assign(channel=channel), world.items)


def placebo_trials(cut: int, number: int) -> list[FeedTrial]:
    """All trials on a random reassignment of two real windows; further numbers are only looked at unchanged."""
    windows = TrialWindows.placebo(real(), real().start + cut, SETTINGS, SEED + 1000 * cut + number)
    return list(_all_trials(windows)) if number == 0 else [_trial(windows, UNCHANGED)]


def shop_trials(number: int) -> list[FeedTrial]:
    """All trials on a synthetic shop."""
    world = shop_with_channels(number)
    return list(_all_trials(TrialWindows.at(world, world.start + 224, SETTINGS, SEED + number)))


def adjacent_trials(cut: int) -> list[FeedTrial]:
    """Two adjacent real windows, unchanged."""
    return [_trial(TrialWindows.at(real(), real().start + cut, SETTINGS, SEED), UNCHANGED)]


def _all_trials(windows: TrialWindows) -> Iterator[FeedTrial]:
    yield _trial(windows, UNCHANGED)
    for percent in SHARES:
        for kind in KINDS:
            yield _trial(windows, SHIFTED, f"{kind} {percent}%", windows.shifted(percent / 100, kind))
    rows = windows.world.events[is_interaction(windows.world.events)]
    single_kind, single_channel = rows["event"].nunique() < 2, rows["channel"].nunique() < 2
    impossible = {*(_NEED_KINDS if single_kind else ()), *(("lost_channel",) if single_channel else ())}
    for name, fault in faults.FAULTS.items():
        if name not in impossible:
            yield _trial(windows, FAULT, name, windows.broken(fault))


def _trial(windows: TrialWindows, what: str, part: str = "", change: ChangedLog | None = None) -> FeedTrial:
    events, items = (change or windows.period()).events, (change or windows.world).items
    reference, settings, end = windows.reference, windows.settings, windows.cut + windows.settings.window_days
    feed = FeedChecks.measure(events, items, reference, end, settings, None)
    current = measure_window(reference, events, items, end)
    found = find_faults(feed, reference, current, settings)
    is_drift = what == FAULT and not found
    is_drift = is_drift and evaluate_window(reference, current, feed, settings, windows.seed).state == "drift"
    kinds = tuple(dict.fromkeys(fault.kind for fault in found))
    return FeedTrial(windows.world.name, what, part, kinds, is_drift, tuple(fault.sentence() for fault in found))


def feed_fault_figures(trials: Sequence[FeedTrial]) -> dict[str, Any]:
    """How often each fault was named by its kind, those that a feed can tell together, and false alarms."""
    injected = [trial for trial in trials if trial.what == FAULT]
    by_part: dict[str, list[FeedTrial]] = {part: [] for part in sorted({trial.part for trial in injected})}
    for trial in injected:
        by_part[trial.part].append(trial)
    named = {
        part: [bool(faults.EXPECTED_KINDS[part] & set(trial.kinds)) for trial in group]
        for part, group in by_part.items()
    }
    distinguishable = [trial for trial in injected if trial.part not in faults.INDISTINGUISHABLE]
    told = [outcome for part, group in named.items() if part not in faults.INDISTINGUISHABLE for outcome in group]
    figures = rate_figures("feed_fault_named", told)
    for part, outcomes in named.items():
        figures |= rate_figures(f"feed_fault_named_{part}", outcomes)
        figures[f"feed_fault_named_{part}_trials"] = len(outcomes)
    figures |= rate_figures("feed_fault_called_drift", [trial.is_drift for trial in distinguishable])
    for what, name in ((UNCHANGED, "feed_fault_false_alarms"), (SHIFTED, "feed_fault_shifts_called_fault")):
        outcomes = [bool(trial.kinds) for trial in trials if trial.what == what]
        figures |= rate_figures(name, outcomes) | {f"{name}_trials": len(outcomes)}
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and record."""
    options = parse_options(__doc__, arguments, "two shops alone")
    jobs = [Job(f"feed-shop-{number}", shop_trials, (number,)) for number in range(2 if options.quick else NUM_SHOPS)]
    if not options.quick:
        jobs += [
            Job(f"feed-placebo-{number}-day-{cut}", placebo_trials, (cut, number))
            for number in (0, 1)
            for cut in FAULT_CUTS
        ]
        jobs += [Job(f"feed-day-{cut}", adjacent_trials, (cut,)) for cut in REAL_CUTS]
    trials = list(chain.from_iterable(run_jobs(jobs, options.workers, RESULT, keep=not options.quick)))
    for trial in trials:
        if trial.what != FAULT and trial.kinds:
            print(f"FALSE ALARM {trial.world} {trial.what} {trial.part}: {trial.sentences[0]}")
        if trial.what == FAULT and not faults.EXPECTED_KINDS[trial.part] & set(trial.kinds):
            print(f"MISSED {trial.world} {trial.part}: found {', '.join(trial.kinds) or 'nothing'}")
    report(feed_fault_figures(trials), record=not options.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
