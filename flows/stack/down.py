"""Take a stack down: runs and workers first, while the server can write down how they ended; then all the rest."""

import time
from pathlib import Path

from flows.stack.folder import StackFolder
from flows.stack.plan import POOLS
from flows.stack.runs import crash_unfinished_runs
from flows.stack.state import read
from flows.stack.supervision.processes import end_processes, stack_processes
from flows.stack.supervision.supervisor import NAME as SUPERVISOR
from flows.stack.supervision.supervisor import Supervisor
from flows.stack.up import Say, only_one

_PATIENCE, _POLL = 45.0, 0.1  # seconds


def down(root: Path, say: Say) -> int:
    """End every process of the stack, a killed supervisor's too; how many there were."""
    folder = StackFolder.of(root)
    if not folder.path.exists():
        return 0
    folder.make()
    with only_one(folder, say):
        return _down(folder, say)


def _down(folder: StackFolder, say: Say) -> int:
    supervisor = Supervisor(folder)
    known = {one.process.pid for one in stack_processes(folder)}
    if supervisor.pid:
        _end_runs(folder, supervisor, say)
    supervisor.shut_down()
    _await_end(folder)
    left = end_processes(one.process for one in stack_processes(folder))
    if left:
        say(f"ended {left} processes that had outlived their supervisor")
    for path in (folder.state, folder.socket):
        path.unlink(missing_ok=True)
    return len(known)


def _end_runs(folder: StackFolder, supervisor: Supervisor, say: Say) -> None:
    """A run that is asked to end while its worker lives ends by itself; a worker that ends kills its runs."""
    end_processes(one.process for one in stack_processes(folder) if one.is_run)
    for pool in POOLS:
        supervisor.finish(pool)
    end_of_patience = time.monotonic() + _PATIENCE
    while any(one.part in POOLS for one in stack_processes(folder)) and time.monotonic() < end_of_patience:
        end_processes(one.process for one in stack_processes(folder) if one.is_run)
        time.sleep(_POLL)
    known = read(folder)
    ended = crash_unfinished_runs(known.api_url) if known else []
    if ended:
        say(f"runs that were cut off: {', '.join(ended)}")


def _await_end(folder: StackFolder) -> None:
    end_of_patience = time.monotonic() + _PATIENCE
    while (
        any(one.part == SUPERVISOR for one in stack_processes(folder)) and time.monotonic() < end_of_patience
    ):
        time.sleep(_POLL)
