"""Finds and ends the processes of one stack by an environment variable that they inherit.

Process ids are reused, pid files survive crashes, and orphans change parents; the variable does not change.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import psutil

from flows.stack.folder import StackFolder
from flows.stack.plan import PART_VARIABLE, RUN_VARIABLE, STACK_VARIABLE


@dataclass(frozen=True)
class StackProcess:
    """A process of a stack. part: which part started it; is_run: whether it is a flow run or belongs to one."""

    process: psutil.Process
    part: str
    is_run: bool


def stack_processes(folder: StackFolder) -> Iterator[StackProcess]:
    """All live processes of the stack except this one and its ancestors."""
    ignored = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid in ignored or process.status() == psutil.STATUS_ZOMBIE:
                continue
            variables = process.environ()
            if variables.get(STACK_VARIABLE) == str(folder.path):
                yield StackProcess(process, variables.get(PART_VARIABLE, ""), RUN_VARIABLE in variables)


def end_processes(processes: Iterable[psutil.Process], timeout: float = 10.0) -> int:
    """Terminate them, and kill those alive after `timeout` seconds; returns their number."""
    terminated = list(processes)
    for process in terminated:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(terminated, timeout=timeout)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=timeout)
    return len(terminated)


def resident_memory(pid: int) -> int:
    """Resident memory of a process and its descendants in bytes; 0 when it has ended."""
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total
