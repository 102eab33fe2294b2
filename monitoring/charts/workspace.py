"""A local Evidently workspace that keeps every window, for `evidently ui --workspace data/loop/evidently`."""

import os
from pathlib import Path
from typing import Any

PROJECT = "tierrec"


def push(snapshot: Any, folder: Path) -> None:
    """Add a snapshot to the one project of the workspace in the folder; both are made when they are missing."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently.ui.workspace import Workspace

    folder.mkdir(parents=True, exist_ok=True)
    workspace = Workspace.create(str(folder))
    known = [one for one in workspace.list_projects() if one.name == PROJECT]
    project = known[0] if known else workspace.create_project(PROJECT)
    workspace.add_run(project.id, snapshot, include_data=False)
