"""The Prefect side of the train flow: tasks, their order and place, retries for transient failures, artifacts."""

import os
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from rich.console import Console

from flows.gpu.stage_dispatcher import StageDispatcher
from flows.gpu.work_pool import PoolNotReady
from flows.graph.dvc_graph import StageGraph, StageRunner, TransientStageError, find_stale_stages
from flows.graph.process_guard import killed_with_us
from flows.graph.progress import Progress
from flows.liveness.process_heartbeat import send_heartbeats
from flows.pipeline.summary import Leaderboard
from flows.project.lock import project_lock
from tierrec_core.base.paths import Layout

WORKERS = max(2, (os.cpu_count() or 2) // 2)
_THREADS = 32  # most of them wait: for stages before theirs, for a place, for other machines


def _side_by_side() -> TaskRunner[PrefectFuture[Any]]:
    runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=_THREADS)
    return runner


def _is_transient(_task: Any, _run: Any, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), TransientStageError)


@flow(name="train", task_runner=_side_by_side(), on_running=[send_heartbeats])
def train() -> Leaderboard:
    """Bring every stage of dvc.yaml in this folder up to date, siblings side by side."""
    root = Path.cwd()
    with project_lock(root, "train"):
        graph = StageGraph.read(root)
        todo = graph.affected(find_stale_stages(root))
        progress = Progress(Console(force_terminal=False), todo)
        submit_stages(graph, todo, StageRunner(root, progress.line), progress)
        return Leaderboard.read(Layout(root))


def run_stages(graph: StageGraph, todo: list[str], runner: StageRunner, progress: Progress) -> None:
    """As `train`, for stages that are known to be stale, shown by `progress`; raises the first failure."""

    @flow(name="train", task_runner=_side_by_side(), validate_parameters=False, on_running=[send_heartbeats])
    def train_shown() -> None:
        embedded_server = [child.pid for child in psutil.Process().children()]
        with killed_with_us(embedded_server):
            submit_stages(graph, todo, runner, progress)

    with project_lock(runner.root, "tierrec run", partial(_tell, progress)):
        train_shown()


def submit_stages(graph: StageGraph, todo: list[str], runner: StageRunner, progress: Progress) -> None:
    """One task a stage, begun when the stages before it are done; all are stopped when one is interrupted.

    A stage that asks for a queue goes there, where somebody is at that queue's end; the others run here, few at a time.
    """
    futures: dict[str, PrefectFuture[None]] = {}
    senders, seats = _senders(graph, todo, runner, progress), threading.Semaphore(WORKERS)

    @task(retries=2, retry_delay_seconds=2, retry_condition_fn=_is_transient)
    def bring_up_to_date(stage: str) -> None:
        _run(stage, runner, progress, seats, senders.get(graph.queues.get(stage, "")))

    try:
        for stage in todo:
            before = [futures[one] for one in graph.upstream[stage] if one in futures]
            futures[stage] = bring_up_to_date.with_options(task_run_name=stage).submit(
                stage, wait_for=before, return_state=False
            )
        wait(list(futures.values()))
    except BaseException:
        runner.stop()
        for sender in senders.values():
            sender.stop()
        raise
    for future in futures.values():
        if future.state.is_failed() or future.state.is_crashed():
            future.result()
    for sender in senders.values():
        sender.tidy()
    _publish(Layout(runner.root))


def _senders(
    graph: StageGraph, todo: list[str], runner: StageRunner, progress: Progress
) -> Mapping[str, StageDispatcher]:
    """A sender for each queue that a stage asks for, if somebody is there; one line says why nobody is."""
    found = {}
    for queue in sorted({graph.queues[stage] for stage in todo if stage in graph.queues}):
        try:
            found[queue] = StageDispatcher.find(queue, graph, runner, progress.line)
        except PoolNotReady as why:
            stages = ", ".join(stage for stage in todo if graph.queues.get(stage) == queue)
            _tell(progress, f"queue {queue}: {stages} run here: {why}")
    return found


def _tell(progress: Progress, text: str) -> None:
    progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _run(
    stage: str,
    runner: StageRunner,
    progress: Progress,
    seats: threading.Semaphore,
    sender: StageDispatcher | None,
) -> None:
    """Run the stage, here or elsewhere, if it is still stale now that the stages before it are done."""
    if not find_stale_stages(runner.root, [stage]):
        progress.end(stage, "unchanged")
        return
    try:
        if sender is not None:
            progress.begin(stage)
        is_sent = sender is not None and sender.send(stage)
        with seats:
            if sender is None:
                progress.begin(stage)
            runner.run(stage, pull=is_sent)
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
