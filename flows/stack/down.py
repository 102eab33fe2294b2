"""Stops a stack: flow runs and workers first, while the server can record how they ended, then everything else."""

import time
from pathlib import Path

from flows.stack.folder import StackFolder
from flows.stack.plan import POOLS
from flows.stack.server import crash_unfinished_runs
from flows.stack.state import StackState
from flows.stack.supervision.processes import end_processes, stack_processes
from flows.stack.supervision.supervisor import NAME as SUPERVISOR
from flows.stack.supervision.supervisor import Supervisor
from flows.stack.up import Report, stack_lock

_TIMEOUT_SECONDS, _POLL_SECONDS = 45.0, 0.1


def down(root: Path, report: Report) -> int:
    """End every process of the stack, also after its supervisor was killed; returns how many there were."""
    folder = StackFolder.of(root)
    if not folder.path.exists():
        return 0
    folder.make()
    with stack_lock(folder, report):
        return _stop(folder, report)


def _stop(folder: StackFolder, report: Report) -> int:
    supervisor = Supervisor(folder)
    pids = {entry.process.pid for entry in stack_processes(folder)}
    if supervisor.pid:
        _end_runs(folder, supervisor, report)
    supervisor.shut_down()
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while _has_part(folder, SUPERVISOR) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    num_left = end_processes(entry.process for entry in stack_processes(folder))
    if num_left:
        report(f"ended {num_left} processes that the supervisor had left")
    for path in (folder.state, folder.socket):
        path.unlink(missing_ok=True)
    return len(pids)


def _end_runs(folder: StackFolder, supervisor: Supervisor, report: Report) -> None:
    """End the runs before their workers, so that they end cleanly; a worker that ends kills its runs."""
    _terminate_runs(folder)
    for pool in POOLS:
        supervisor.finish(pool)
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while _has_part(folder, *POOLS) and time.monotonic() < deadline:
        _terminate_runs(folder)
        time.sleep(_POLL_SECONDS)
    state = StackState.read(folder)
    crashed = crash_unfinished_runs(state.options.api_url) if state else []
    if crashed:
        report(f"crashed runs: {', '.join(crashed)}")


def _terminate_runs(folder: StackFolder) -> None:
    end_processes(entry.process for entry in stack_processes(folder) if entry.is_run)


def _has_part(folder: StackFolder, *names: str) -> bool:
    return any(entry.part in names for entry in stack_processes(folder))
