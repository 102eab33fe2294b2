"""python -m flows.stack.supervision.launch PART: ends what a killed PART left running, then becomes PART.

A Bento's workers, for one, outlive a `kill -9` of their parent and would keep its port.
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
    """Become the part. The working folder is the stack's, whose parts.json says how."""
    folder = StackFolder(Path.cwd())
    end_processes(
        [one.process for one in stack_processes(folder) if one.part == name and not one.is_run], patience=3.0
    )
    part = json.loads(folder.parts.read_text())[name]
    with folder.starts(name).open("a") as starts:
        starts.write(f"{os.getpid()} {datetime.now(UTC).isoformat(timespec='seconds')}\n")
    os.chdir(part["folder"])
    os.execvpe(part["command"][0], part["command"], part["environment"] | {PART_VARIABLE: name})  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1])
