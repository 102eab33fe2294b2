"""python -m flows.stack.supervision.launch PART: ends leftover processes of a killed PART, then executes PART.

For example, a Bento's workers outlive a `kill -9` of their parent and would keep its port.
"""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from flows.stack.folder import StackFolder
from flows.stack.plan import PART_VARIABLE
from flows.stack.supervision.processes import end_processes, stack_processes


def main(name: str) -> None:
    """Execute the part that parts.json describes, in the current folder, which is the stack's."""
    folder = StackFolder(Path.cwd())
    leftovers = [entry for entry in stack_processes(folder) if entry.part == name and not entry.is_run]
    end_processes((entry.process for entry in leftovers), timeout=3.0)
    part = json.loads(folder.parts.read_text())[name]
    with folder.starts(name).open("a") as starts:
        starts.write(f"{os.getpid()} {datetime.now(UTC).isoformat(timespec='seconds')}\n")
    os.chdir(part["folder"])
    os.execvpe(part["command"][0], part["command"], part["environment"] | {PART_VARIABLE: name})  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1])
