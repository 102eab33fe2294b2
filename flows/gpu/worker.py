"""The flow `run-stage`: a worker runs one stage of a revision in a clone of its own and pushes the outputs."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from prefect import flow, get_run_logger

from flows.gpu.clone import borrow_clone
from flows.graph.dvc_graph import StageGraph, StageRunner
from flows.liveness import RUN_VARIABLE, send_heartbeats

_POLL_SECONDS = 0.5


@flow(name="run-stage", flow_run_name="{stage}", on_running=[send_heartbeats], validate_parameters=False)
def run_stage_in_clone(
    stage: str, revision: str, ref: str, repository: str, remote: dict[str, str], folder: str = ""
) -> None:
    """Run one stage of a revision, unless the remote has its outputs already, and push the outputs.

    repository, ref: where git finds the revision; remote: of DVC, see flows.gpu.dvc_remote; folder: of the project
    inside the repository. Raises StageError with the stage's own error, RevisionError when git cannot fetch.
    """
    log = get_run_logger()
    with _killed_with_worker(), borrow_clone(repository) as clone:
        log.info("%s of %s, in %s", stage, revision[:12], clone.folder)
        clone.check_out(repository, ref, revision)
        root = clone.project(folder, remote)
        own_code = {"PYTHONPATH": str(root)}  # this process may have been started with a path to another clone
        runner = StageRunner(root, lambda _, line: log.info("%s", line), own_code)
        upstream = sorted(StageGraph.read(root).upstream[stage])
        if upstream:  # a dependency may be a folder of outputs, which DVC reads as it is
            runner.dvc(stage, "pull", *upstream)
        runner.run(stage, pull=True)
        runner.dvc(stage, "push", "--run-cache", stage)


@contextlib.contextmanager
def _killed_with_worker() -> Iterator[None]:
    """Kill this process when the worker that started it dies, since nothing else could then cancel this run.

    flows.graph.process_guard ends the stage too, and another worker takes over.
    """
    done, worker = threading.Event(), os.getppid()

    def watch() -> None:
        while not done.wait(_POLL_SECONDS):
            if os.getppid() != worker:
                os.kill(os.getpid(), signal.SIGKILL)

    if RUN_VARIABLE in os.environ:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()
