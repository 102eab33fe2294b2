"""Ends a process group when the process that started it ends, even by kill -9.

`python -m flows.graph.process_guard COMMAND...` runs the command in a process group of its own. The parent holds the
other end of this process's standard input; when it closes, the group is killed: dvc, the stage and its children.
"""

import os
import signal
import subprocess
import sys
import threading


def main(arguments: list[str]) -> int:
    """Run the command in this process group; returns its exit code, or 128 + the number of the signal that ended it."""
    child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, close_fds=False)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = child.wait()
    return 128 - code if code < 0 else code


def _end_with_parent() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
