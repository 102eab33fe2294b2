"""Finds the Prefect server for commands that join a running stack."""

import os
from pathlib import Path

from flows.stack.folder import StackFolder
from flows.stack.plan import SERVER
from flows.stack.state import StackState
from flows.stack.supervision.processes import stack_processes


def find_api_url(root: Path) -> str | None:
    """PREFECT_API_URL, else the URL of the project's stack while its server runs, else None."""
    named = os.environ.get("PREFECT_API_URL")
    if named:
        return named
    folder = StackFolder.of(root)
    state = StackState.read(folder)
    if state is None or not any(found.part == SERVER for found in stack_processes(folder)):
        return None
    return state.api_url
