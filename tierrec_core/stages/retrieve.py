"""retrieve: for each window, every retriever's candidates with every model's score as of its snapshot."""

import os

import numpy as np
from joblib import Parallel, delayed, parallel_config

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import Snapshot, SplitLog
from tierrec_core.ranking import retrieve
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.fitted_models import read_models
from tierrec_core.stages.inputs.simulated_cold_users import SimulatedColdUsers
from tierrec_core.stages.inputs.split_log import read_split


def run(layout: Layout, settings: Settings) -> None:
    """Write the candidates of all windows, two or more snapshots at a time in processes of their own."""
    log = read_split(layout)
    jobs = [delayed(_retrieve)(layout, settings, log, snapshot) for snapshot in reversed(log.snapshots)]
    with parallel_config("loky", n_jobs=min(os.cpu_count() or 1, 4), inner_max_num_threads=1):
        for lines in Parallel(return_as="generator")(jobs):
            print("\n".join(lines), flush=True)


def _retrieve(layout: Layout, settings: Settings, log: SplitLog, snapshot: Snapshot) -> list[str]:
    """The windows of one snapshot; of earlier ones only the users who have something to teach, and newcomers."""
    models = read_models(layout, settings, log, snapshot.name)
    history, lines = log.history(snapshot.name), []
    for window in (one for one in log.windows if one.snapshot == snapshot.name):
        user, item = log.truth(window)
        rows = np.arange(history.num_users) if window.role == "test" else np.unique(user)
        found = retrieve(models, history.select_users(rows), settings.retrieve, repeats=window.repeats)
        candidates = found.renumbered(rows)
        artifacts.save(candidates, layout.candidates(window.name))
        share = candidates.among(user, item, history.num_items).sum() / max(len(user), 1)
        lines.append(f"retrieve {window.name}: {len(candidates)} candidates hold {share:.1%} of the truth")
        newcomers = SimulatedColdUsers.of(
            log, window, settings.simulated_cold_share([window.task]), settings.seed
        )
        if window.role != "test" and newcomers.history.num_users:
            few = retrieve(models, newcomers.history, settings.retrieve, repeats=window.repeats)
            artifacts.save(few, layout.cold_start_candidates(window.name))
    return lines
