"""Stage retrieve: each window's candidates of all retrievers, scored by all models as of its snapshot."""

import os

import numpy as np
from joblib import Parallel, delayed, parallel_config
from threadpoolctl import threadpool_limits

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import Snapshot, SplitLog
from tierrec_core.ranking import retrieve
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.fitted_models import read_models
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.stages.inputs.training import SimulatedColdUsers

_MIN_PARALLEL_EVENTS = 200_000  # a smaller log is done before other processes have started


def run(layout: Layout, settings: Settings) -> None:
    """Write the candidates of all windows; of a large log, several snapshots in parallel processes."""
    jobs = []
    for place in (layout.production, layout):
        log = read_split(place)
        jobs += [delayed(_retrieve)(place, settings, log, snapshot) for snapshot in reversed(log.snapshots)]
    num_jobs = min(os.cpu_count() or 1, 4) if len(log.log) >= _MIN_PARALLEL_EVENTS else 1
    with threadpool_limits(1), parallel_config("loky", n_jobs=num_jobs, inner_max_num_threads=1):
        for lines in Parallel(return_as="generator")(jobs):
            print("\n".join(lines), flush=True)


def _retrieve(layout: Layout, settings: Settings, log: SplitLog, snapshot: Snapshot) -> list[str]:
    """Write a snapshot's windows: the final one for all users, others for those with a truth and simulated users."""
    models = read_models(layout, settings, log, snapshot.name)
    history, lines = log.history(snapshot.name), []
    for window in log.windows:
        if window.snapshot != snapshot.name:
            continue
        user, item = log.truth(window)
        is_final = window == log.final_window(window.task)
        rows = np.arange(history.num_users) if is_final else np.unique(user)
        selected = history.select_users(rows)
        candidates = retrieve(models, selected, settings.retrieve, repeats=window.repeats).renumbered(rows)
        artifacts.save(candidates, layout.candidates(window.name))
        covered = candidates.among(user, item, history.num_items)
        share = f" cover {covered.sum() / len(user):.1%} of the truth" if len(user) else ""
        lines.append(f"retrieve {window.name}: {len(candidates)} candidates{share}")
        if is_final:
            continue
        cold = SimulatedColdUsers.of(log, window, settings.simulated_cold_share([window.task]), settings.seed)
        if cold.history.num_users:
            candidates = retrieve(models, cold.history, settings.retrieve, repeats=window.repeats)
            artifacts.save(candidates, layout.cold_start_candidates(window.name))
    return lines
