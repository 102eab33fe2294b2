"""Take a stack down: flow runs first, while the server can still write down how they ended; then all the rest."""

import time
from pathlib import Path

from flows.stack.folder import Folder
from flows.stack.plan import POOLS
from flows.stack.processes import end, of_stack
from flows.stack.supervisor import Supervisor
from flows.stack.up import Say, only_one

_PATIENCE, _POLL = 45.0, 0.1  # seconds


def down(root: Path, say: Say) -> int:
    """End every process of the stack, a killed supervisor's too; how many there were."""
    folder = Folder.of(root)
    if not folder.path.exists():
        return 0
    folder.make()
    with only_one(folder, say):
        return _down(folder, say)


def _down(folder: Folder, say: Say) -> int:
    supervisor = Supervisor(folder)
    known = {one.process.pid for one in of_stack(folder)}
    for pool in POOLS if supervisor.pid else ():
        supervisor.finish(pool)
    runs = end(one.process for one in of_stack(folder) if one.is_run)
    if runs:
        say(f"ended {runs} processes of flow runs; their runs are crashed, and can be run again")
    supervisor.shut_down()
    _await_end(folder, supervisor)
    left = end(one.process for one in of_stack(folder))
    if left:
        say(f"ended {left} processes that had outlived their supervisor")
    for path in (folder.state, folder.socket):
        path.unlink(missing_ok=True)
    return len(known)


def _await_end(folder: Folder, supervisor: Supervisor) -> None:
    end_of_patience = time.monotonic() + _PATIENCE
    while supervisor.is_there and time.monotonic() < end_of_patience:
        time.sleep(_POLL)
    if not supervisor.is_there:
        return
    for one in of_stack(folder):
        if one.part == "supervisor":
            end([one.process])
