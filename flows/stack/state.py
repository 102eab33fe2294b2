"""The state of the running stack in stack.json, for other commands."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from flows.stack.folder import StackError, StackFolder
from flows.stack.plan import SERVER, StackOptions, mask_password
from flows.stack.supervision.processes import stack_processes
from tierrec_core.base import artifacts
from tierrec_core.base.errors import SettingsError
from tierrec_core.settings import Params, parse


class StackState(Params):
    """options: without the database's password; started: UTC; parts: the required ones; cuda: if torch sees a GPU"""

    options: StackOptions
    started: str
    parts: tuple[str, ...]
    cuda: bool

    @classmethod
    def read(cls, folder: StackFolder) -> Self | None:
        """The state of the running stack; None without one. Raises StackError for a file of another version."""
        if not folder.state.exists():
            return None
        try:
            return parse(cls, artifacts.read_json(folder.state), str(folder.state))
        except SettingsError as error:
            raise StackError(
                f"{error}\nanother version wrote {folder.state}; delete it, then run `tierrec stack down`"
            ) from error

    def write(self, folder: StackFolder) -> None:
        """Write stack.json atomically."""
        artifacts.write_json(self.model_dump(mode="json"), folder.state)


def find_api_url(root: Path) -> str | None:
    """PREFECT_API_URL, else the URL of the project's stack while its server runs, else None."""
    configured = os.environ.get("PREFECT_API_URL")
    if configured:
        return configured
    folder = StackFolder.of(root)
    state = StackState.read(folder)
    if state is None or not any(process.part == SERVER for process in stack_processes(folder)):
        return None
    return state.options.api_url


def resolve_options(requested: Mapping[str, Any], running: StackState | None) -> StackOptions:
    """The requested options, else those of the running stack, else the defaults; None values are not requested.

    Raises StackError when a running part would have to change.
    """
    chosen = {name: value for name, value in requested.items() if value is not None}
    if running is None:
        return StackOptions(**chosen)
    current = running.options.model_dump()
    shown = chosen | ({"database": mask_password(chosen["database"])} if "database" in chosen else {})
    changed = [name for name in shown if name != "schedules" and shown[name] != current[name]]
    if changed:
        differences = ", ".join(f"{name} {current[name]} (requested: {shown[name]})" for name in changed)
        raise StackError(f"the stack runs with {differences}; run `tierrec stack down`, then `tierrec stack up` again")
    return running.options.model_copy(update={"schedules": chosen.get("schedules", running.options.schedules)})
