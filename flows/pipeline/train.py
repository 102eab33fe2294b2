"""The train flow: every stale stage of dvc.yaml as one Prefect task, independent stages side by side."""

import os
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.graph.dvc_graph import StageGraph, StageRunner, find_stale_stages
from flows.graph.progress import Progress
from flows.pipeline.summary import Leaderboard, PeakMemory, Summary
from flows.stack.address import find_api_url
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.models.registry import check_kinds
from tierrec_core.settings import read_settings

_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_CLI_PROMPT": "false",
}


def run(root: Path, console: Console, only: str | None = None) -> Summary:
    """Bring the project up to date and tell how it went; Prefect is loaded only when something is stale.

    Raises StageError with the words of the first stage that failed, SettingsError for an unknown `only`.
    """
    began, layout = time.monotonic(), Layout(root)
    with PeakMemory() as memory:
        check_kinds(read_settings(layout.params).models)
        graph = StageGraph.read(root)
        todo = graph.affected(find_stale_stages(root))
        if only is not None:
            todo = [stage for stage in todo if stage in _chosen(graph, only)]
        progress = Progress(console, todo)
        if todo:
            configure_prefect(root)
            from flows.pipeline.tasks import run_stages

            with progress:
                run_stages(graph, todo, StageRunner(root, progress.line), progress)
    board = Leaderboard.read(layout) if layout.metrics.exists() else None
    summary = Summary(progress.seconds, time.monotonic() - began, memory.peak, board)
    summary.save(layout)
    return summary


def _chosen(graph: StageGraph, only: str) -> set[str]:
    """The stages that `only` names: one, or all of a foreach."""
    chosen = {stage for stage in graph.upstream if only in (stage, stage.partition("@")[0])}
    if not chosen:
        raise SettingsError(f"dvc.yaml: no stage {only!r}; known are {', '.join(graph.upstream)}")
    return chosen


def configure_prefect(root: Path) -> None:
    """Runs go to the server that is named or that this project's stack has; else Prefect lives here, quietly."""
    url = find_api_url(root)
    if url is not None:
        os.environ["PREFECT_API_URL"] = url
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    else:
        for name, value in (_QUIET | {"PREFECT_HOME": str(Layout(root).prefect_home)}).items():
            os.environ.setdefault(name, value)


def __getattr__(name: str) -> Any:
    """`flows.pipeline.train:train`, the entry point of the deployment, without loading Prefect for everybody."""
    if name != "train":
        raise AttributeError(name)
    from flows.pipeline.tasks import train

    return train
