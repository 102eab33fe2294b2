"""Ends a process group when the process that started it ends, even by kill -9.

`python -m flows.graph.process_guard COMMAND...` runs the command in a process group of its own. The parent holds the
other end of this process's standard input; when it closes, the group is killed: dvc, the stage and its children.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

_WATCH = "--watch"


@contextlib.contextmanager
def killed_with_us(pids: list[int]) -> Iterator[None]:
    """Kill these processes if this process is killed inside the block."""
    watch = [sys.executable, "-m", "flows.graph.process_guard", _WATCH, *map(str, pids)]
    watcher = subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watcher.kill()
        watcher.wait()


def main(arguments: list[str]) -> int:
    """Run the command in this process group; returns its exit code, or 128 + the number of the signal that ended it."""
    if arguments[0] == _WATCH:
        os.read(0, 1)
        for pid in map(int, arguments[1:]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return 0
    child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = child.wait()
    return 128 - code if code < 0 else code


def _end_with_parent() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
