"""The flow `run-stage`: one stage of a revision, run by a worker in a clone of its own, its results pushed."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from prefect import flow, get_run_logger

from flows.gpu.clone import borrow_clone
from flows.graph.dvc_graph import StageGraph, StageRunner
from flows.liveness.process_heartbeat import send_heartbeats

_BY_PREFECT = "PREFECT__FLOW_RUN_ID"
_POLL_SECONDS = 0.5


@flow(name="run-stage", flow_run_name="{stage}", on_running=[send_heartbeats], validate_parameters=False)
def run_stage_in_clone(
    stage: str, revision: str, ref: str, repository: str, remote: dict[str, str], folder: str = ""
) -> None:
    """Run one stage as it is in a revision, unless the remote has its results already, and push these.

    repository, ref: where git finds the revision; remote: of DVC, as flows.gpu.dvc_remote tells it; folder: of the
    project inside the repository. Raises StageError with the stage's own words, RevisionError when git cannot fetch.
    """
    log = get_run_logger()
    with _ended_with_worker(), borrow_clone(repository) as clone:
        log.info("%s of %s, in %s", stage, revision[:12], clone.folder)
        clone.check_out(repository, ref, revision)
        root = clone.project(folder, remote)
        runner = StageRunner(root, lambda _, line: log.info("%s", line), _environment(root))
        before = sorted(StageGraph.read(root).upstream[stage])
        if before:  # a dep may be the folder around outputs, which DVC takes as it finds it
            runner.dvc(stage, "pull", *before)
        runner.run(stage, pull=True)
        runner.dvc(stage, "push", "--run-cache", stage)


def _environment(root: Path) -> Mapping[str, str]:
    """The stage's code is the clone's, though this process may have come with a path to another."""
    return {"PYTHONPATH": str(root)}


@contextlib.contextmanager
def _ended_with_worker() -> Iterator[None]:
    """While inside, the death of the worker that started us is ours: without it nobody could cancel this run.

    The stage goes with us, by flows.graph.process_guard, and another worker takes over.
    """
    done, worker = threading.Event(), os.getppid()

    def watch() -> None:
        while not done.wait(_POLL_SECONDS):
            if os.getppid() != worker:
                os.kill(os.getpid(), signal.SIGKILL)

    if _BY_PREFECT in os.environ:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()
