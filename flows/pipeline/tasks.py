"""The flow `train`: one Prefect task per stale stage, with retries of transient failures, here or on a work pool."""

import os
import threading
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from rich.console import Console

from flows.gpu.stage_dispatcher import StageDispatcher
from flows.gpu.work_pool import PoolNotReady
from flows.graph.dvc_graph import StageGraph, StageRunner, TransientStageError, find_stale_stages
from flows.graph.progress import Progress
from flows.liveness import send_heartbeats
from flows.pipeline.page_links import publish_page
from flows.pipeline.summary import Leaderboard
from flows.project.lock import project_lock
from flows.run_names import flow_and_time
from tierrec_core.base.paths import Layout

WORKERS = max(2, (os.cpu_count() or 2) // 2)
_THREADS = 32  # most of them wait for upstream stages, a slot or other machines


def _task_runner() -> TaskRunner[PrefectFuture[Any]]:
    runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=_THREADS)
    return runner


def _is_transient(_task: Any, _run: Any, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), TransientStageError)


@flow(name="train", flow_run_name=flow_and_time, task_runner=_task_runner(), on_running=[send_heartbeats])
def train() -> Leaderboard:
    """Run every stale stage of the project in the current folder, independent stages in parallel."""
    root = Path.cwd()
    with project_lock(root, "train"):
        run_stale_stages(root)
        return Leaderboard.read(Layout(root))


def run_stale_stages(root: Path, skipped: Collection[str] = ()) -> None:
    """Run the project's stale stages except `skipped`, and print their progress; raises the first failure."""
    graph = StageGraph.read(root)
    todo = [stage for stage in graph.affected(find_stale_stages(root)) if stage not in skipped]
    progress = Progress(Console(force_terminal=False), todo)
    submit_stages(graph, todo, StageRunner(root, progress.line), progress)


def run_stages(graph: StageGraph, todo: list[str], runner: StageRunner, progress: Progress) -> None:
    """Run the given stale stages as the flow `train`, with a progress display; raises the first failure."""

    @flow(name="train", task_runner=_task_runner(), validate_parameters=False, on_running=[send_heartbeats])
    def train_shown() -> None:
        submit_stages(graph, todo, runner, progress)

    with project_lock(runner.root, "tierrec run", partial(_print, progress)):
        train_shown()


def submit_stages(graph: StageGraph, todo: list[str], runner: StageRunner, progress: Progress) -> None:
    """One task per stage, started when its upstream stages are done; an interrupt stops all.

    A stage with a queue is sent to that work pool if it has a worker; the others run here, at most WORKERS at a time.
    """
    futures: dict[str, PrefectFuture[None]] = {}
    dispatchers, slots = _dispatchers(graph, todo, runner, progress), threading.Semaphore(WORKERS)

    @task(retries=2, retry_delay_seconds=2, retry_condition_fn=_is_transient)
    def bring_up_to_date(stage: str) -> None:
        _run(stage, runner, progress, slots, dispatchers.get(graph.queues.get(stage, "")))

    try:
        for stage in todo:
            upstream = [futures[parent] for parent in graph.upstream[stage] if parent in futures]
            futures[stage] = bring_up_to_date.with_options(task_run_name=stage).submit(
                stage, wait_for=upstream, return_state=False
            )
        wait(list(futures.values()))
    except BaseException:
        runner.stop()
        for dispatcher in dispatchers.values():
            dispatcher.stop()
        raise
    for future in futures.values():
        if future.state.is_failed() or future.state.is_crashed():
            future.result()
    for dispatcher in dispatchers.values():
        dispatcher.prune_remote()
    _publish(Layout(runner.root))


def _dispatchers(
    graph: StageGraph, todo: list[str], runner: StageRunner, progress: Progress
) -> Mapping[str, StageDispatcher]:
    """A dispatcher for each queue that has a worker; prints why a queue has none."""
    dispatchers = {}
    for queue in sorted({graph.queues[stage] for stage in todo if stage in graph.queues}):
        try:
            dispatchers[queue] = StageDispatcher.find(queue, graph, runner, progress.line)
        except PoolNotReady as reason:
            stages = ", ".join(stage for stage in todo if graph.queues.get(stage) == queue)
            _print(progress, f"queue {queue}: {stages} run here: {reason}")
    return dispatchers


def _print(progress: Progress, text: str) -> None:
    progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _run(
    stage: str, runner: StageRunner, progress: Progress, slots: threading.Semaphore, dispatcher: StageDispatcher | None
) -> None:
    """Run the stage, here or on a worker, if it is still stale now that its upstream stages are done."""
    if not find_stale_stages(runner.root, [stage]):
        progress.end(stage, "unchanged")
    elif dispatcher is None:
        with slots, progress.running(stage):
            runner.run(stage)
    else:
        with progress.running(stage):
            is_sent = dispatcher.send(stage)
            with slots:
                runner.run(stage, pull=is_sent)


def _publish(layout: Layout) -> None:
    """Publish the leaderboard and links to the pages as Prefect artifacts."""
    if layout.metrics.exists():
        for name, rows in Leaderboard.read(layout).tasks.items():
            create_table_artifact(key=f"leaderboard-{name}", table=rows, description=f"Task {name}")
    for key, page in (("data-docs", layout.data_docs / "index.html"), ("report", layout.report)):
        if page.exists():
            publish_page(layout, key, page)
