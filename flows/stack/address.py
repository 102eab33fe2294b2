"""Where Prefect's server answers, for commands that would join a running stack."""

import os
from pathlib import Path

from flows.stack import state
from flows.stack.folder import StackFolder
from flows.stack.plan import SERVER
from flows.stack.supervision.processes import stack_processes


def find_api_url(root: Path) -> str | None:
    """What PREFECT_API_URL says, else the URL of the project's stack while its server runs, else None."""
    named = os.environ.get("PREFECT_API_URL")
    if named:
        return named
    folder = StackFolder.of(root)
    known = state.read(folder)
    if known is None or not any(one.part == SERVER for one in stack_processes(folder)):
        return None
    return known.api_url
