"""Runs the stale stages of a project, loading Prefect only when there are any."""

import time
from pathlib import Path

from rich.console import Console

from flows.graph.dvc_graph import StageGraph, StageRunner, find_stale_stages
from flows.graph.progress import Progress
from flows.pipeline.embedded_server import configure_prefect
from flows.pipeline.summary import Leaderboard, PeakMemory, Summary
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.models.registry import check_kinds
from tierrec_core.settings import read_settings


def run(root: Path, console: Console, only: str | None = None) -> Summary:
    """Bring the project up to date and summarise the run.

    Raises StageError with the error of the first stage that failed, SettingsError for an unknown `only`.
    """
    started, layout = time.monotonic(), Layout(root)
    with PeakMemory() as memory:
        check_kinds(read_settings(layout.params).models)
        graph = StageGraph.read(root)
        todo = graph.affected(find_stale_stages(root))
        if only is not None:
            todo = [stage for stage in todo if stage in _select(graph, only)]
        progress = Progress(console, todo)
        if todo:
            configure_prefect(root)
            from flows.pipeline.tasks import run_stages

            with progress:
                run_stages(graph, todo, StageRunner(root, progress.line), progress)
    board = Leaderboard.read(layout) if layout.metrics.exists() else None
    summary = Summary(progress.seconds, time.monotonic() - started, memory.peak, board)
    summary.save(layout)
    return summary


def _select(graph: StageGraph, only: str) -> set[str]:
    """The stage of that name, or all stages of a foreach."""
    selected = {stage for stage in graph.upstream if only in (stage, stage.partition("@")[0])}
    if not selected:
        raise SettingsError(f"dvc.yaml: has no stage {only!r}; wanted one of {', '.join(graph.upstream)}")
    return selected
