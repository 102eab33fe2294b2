"""The Prefect side of the train flow: tasks, their order, retries for transient failures, artifacts."""

import os
from pathlib import Path
from typing import Any

import psutil
from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from rich.console import Console

from flows.guard import outlived_by_none
from flows.progress import Progress
from flows.stages import Graph, Runner, TransientStageError, stale
from flows.summary import Leaderboard
from tierrec_core.layout import Layout

WORKERS = max(2, (os.cpu_count() or 2) // 2)


def _side_by_side() -> TaskRunner[PrefectFuture[Any]]:
    runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=WORKERS)
    return runner


def _is_transient(_task: Any, _run: Any, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), TransientStageError)


@flow(name="train", task_runner=_side_by_side())
def train() -> Leaderboard:
    """Bring every stage of dvc.yaml in this folder up to date, siblings side by side."""
    root = Path.cwd()
    graph = Graph.read(root)
    todo = graph.affected(stale(root))
    progress = Progress(Console(force_terminal=False), todo)
    submit_stages(graph, todo, Runner(root, progress.line), progress)
    return Leaderboard.read(Layout(root))


def run_stages(graph: Graph, todo: list[str], runner: Runner, progress: Progress) -> None:
    """As `train`, for stages that are known to be stale, shown by `progress`; raises the first failure."""

    @flow(name="train", task_runner=_side_by_side(), validate_parameters=False)
    def train_shown() -> None:
        embedded_server = [child.pid for child in psutil.Process().children()]
        with outlived_by_none(embedded_server):
            submit_stages(graph, todo, runner, progress)

    train_shown()


def submit_stages(graph: Graph, todo: list[str], runner: Runner, progress: Progress) -> None:
    """One task a stage, begun when the stages before it are done; all are stopped when one is interrupted."""
    futures: dict[str, PrefectFuture[None]] = {}

    @task(retries=2, retry_delay_seconds=2, retry_condition_fn=_is_transient)
    def bring_up_to_date(stage: str) -> None:
        _run(stage, runner, progress)

    try:
        for stage in todo:
            before = [futures[one] for one in graph.upstream[stage] if one in futures]
            futures[stage] = bring_up_to_date.with_options(task_run_name=stage).submit(
                stage, wait_for=before, return_state=False
            )
        wait(list(futures.values()))
    except BaseException:
        runner.stop()
        raise
    for future in futures.values():
        if future.state.is_failed() or future.state.is_crashed():
            future.result()
    _publish(Layout(runner.root))


def _run(stage: str, runner: Runner, progress: Progress) -> None:
    """Run the stage if it is still stale now that the stages before it are done."""
    if not stale(runner.root, [stage]):
        progress.end(stage, "unchanged")
        return
    progress.begin(stage)
    try:
        runner.run(stage)
    except BaseException:
        progress.end(stage, "failed")
        raise
    progress.end(stage, "done")


def _publish(layout: Layout) -> None:
    """The leaderboard as a table and links to the pages, where the run made them."""
    if layout.metrics.exists():
        for name, rows in Leaderboard.read(layout).tasks.items():
            create_table_artifact(key=f"leaderboard-{name}", table=rows, description=f"Task {name}")
    for key, page in (("data-docs", layout.data_docs / "index.html"), ("report", layout.report)):
        if page.exists():
            create_link_artifact(key=key, link=page.resolve().as_uri())
