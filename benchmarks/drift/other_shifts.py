"""python -m benchmarks.drift.other_shifts: shifts of light users alone, gradual shifts, and seasons that end.

Measures in how many windows the drift verdict finds each, on placebo windows of the real year and on synthetic shops.
Prints the figures and merges them into drift.json and drift.md. --quick is a trial run that records nothing.
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from benchmarks.drift.benchmark import CUTS, SEED, SETTINGS, real
from benchmarks.drift.detection_trials import KINDS, DetectionTrial, TrialWindows
from benchmarks.drift.parallel import Job, parse_options, run_jobs
from benchmarks.drift.results_file import PAGE, report
from benchmarks.drift.summary_stats import rate_figures
from benchmarks.serving.report import revision
from monitoring.simulation import synthetic_drift
from monitoring.simulation.world import synthetic_world

NUM_SHOPS = 24
LIGHT_SHARE = 0.5  # of the light users
GRADUAL_SHARE, GRADUAL_WINDOWS = 0.3, 3  # of all users, who begin on random days of so many windows
RESULT = TypeAdapter(list[DetectionTrial])
_CUT = 224.0
_LIGHT, _GRADUAL, _SEASON_OVER = "light users", "gradual", "season over"


def light_trials(cut: int) -> list[DetectionTrial]:
    """Shifts of half of the light users, on a random reassignment of two real windows."""
    windows = TrialWindows.placebo(real(), real().start + cut, SETTINGS, SEED + 1000 * cut)
    return list(_light(windows))


def _light(windows: TrialWindows) -> Iterator[DetectionTrial]:
    light = windows.reference.users[windows.reference.groups.tier == 0]
    for number, kind in enumerate(KINDS):
        period, rng = windows.period(), np.random.default_rng([windows.seed, number])
        change = synthetic_drift.shift_interests(
            period.events, period.items, share=LIGHT_SHARE, start=windows.cut, rng=rng, kind=kind, among=light
        )
        yield windows.trial(_LIGHT, kind, change)


def shop_trials(number: int) -> list[DetectionTrial]:
    """All three changes on a synthetic shop; a gradual one is looked at after each of its windows."""
    world, width = synthetic_world(SEED + number), SETTINGS.window_days
    start, rng = world.start + _CUT, np.random.default_rng([SEED, number])
    windows = TrialWindows.at(world, start, SETTINGS, number)
    gradual = synthetic_drift.shift_interests(
        world.events, world.items, share=GRADUAL_SHARE, start=start, rng=rng, ramp_days=GRADUAL_WINDOWS * width
    )
    looks = [
        windows.trial(_GRADUAL, f"window {look}", gradual, days=look * width) for look in range(1, GRADUAL_WINDOWS + 1)
    ]
    season = synthetic_drift.add_season(
        world.events, world.items, starts=(start - 7 * synthetic_drift.SEASON_WEEKS,), rng=rng
    )
    after = TrialWindows.at(world.after(season), start, SETTINGS, number)
    return [*_light(windows), *looks, after.trial(_SEASON_OVER)]


def shift_figures(trials: Sequence[DetectionTrial]) -> dict[str, Any]:
    """The share of the trials of each kind in which the verdict is drift; of gradual shifts, up to each window."""
    figures: dict[str, Any] = {}
    for name, what in (("shift_light_found", _LIGHT), ("shift_season_over_found", _SEASON_OVER)):
        outcomes = [trial.alarms["ours"] for trial in trials if trial.what == what]
        figures |= rate_figures(name, outcomes) | {f"{name}_trials": len(outcomes)}
    found: dict[str, list[bool]] = {}
    for trial in trials:
        if trial.what == _GRADUAL:
            found.setdefault(trial.world, []).append(trial.alarms["ours"])
    for look in range(1, GRADUAL_WINDOWS + 1):
        name = f"shift_gradual_found_{look}"
        figures |= rate_figures(name, [any(alarms[:look]) for alarms in found.values()])
        figures[f"{name}_trials"] = len(found)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and record."""
    options = parse_options(__doc__, arguments, "two shops alone")
    jobs = [Job(f"shift-shop-{number}", shop_trials, (number,)) for number in range(2 if options.quick else NUM_SHOPS)]
    jobs += [] if options.quick else [Job(f"shift-day-{cut}", light_trials, (cut,)) for cut in CUTS]
    trials = list(chain.from_iterable(run_jobs(jobs, options.workers, RESULT, keep=not options.quick)))
    for trial in trials:
        if not trial.alarms["ours"]:
            print(f"{trial.world} day {trial.cut:.0f}, {trial.what} {trial.part}: {trial.state}")
    report(shift_figures(trials) | {"shift_revision": revision(PAGE.parents[2])}, record=not options.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
