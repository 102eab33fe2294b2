"""python -m flows.guard COMMAND...: run a command that does not outlive whoever started it.

The starter holds the other end of our standard input. However it ends, even by kill -9, the pipe closes, and the
whole process group goes: dvc, the stage and what the stage started.
"""

import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Run the command in our process group; its exit code, or 128 + the signal that ended it."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch, daemon=True).start()
    code = child.wait()
    return 128 - code if code < 0 else code


def _watch() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
