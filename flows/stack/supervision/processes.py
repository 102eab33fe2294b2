"""The processes of one stack, whoever their parents are now: known by a mark in their environment, which they inherit.

Process ids are given to others again and pid files survive crashes; the mark says whose a process is.
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
    """All living processes of the stack but our own and those that we descend from."""
    ourselves = {os.getpid(), *(one.pid for one in psutil.Process().parents())}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid in ourselves or process.status() == psutil.STATUS_ZOMBIE:
                continue
            told = process.environ()
            if told.get(STACK_VARIABLE) == str(folder.path):
                yield StackProcess(process, told.get(PART_VARIABLE, ""), RUN_VARIABLE in told)


def end_processes(processes: Iterable[psutil.Process], patience: float = 10.0) -> int:
    """Ask them to end, and kill those that have not after `patience` seconds; how many they were."""
    asked = list(processes)
    for process in asked:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(asked, timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=patience)
    return len(asked)


def resident_memory(pid: int) -> int:
    """Bytes of memory of a process and all that it started; 0 when it is gone."""
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total
