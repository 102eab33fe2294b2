"""A local Evidently workspace of all windows, for `evidently ui --workspace data/loop/evidently`."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from monitoring.data_gate.expectations import as_utc
from tierrec_core.base.errors import ArtifactError

PROJECT = "tierrec"
# fixed ids, so that adding a snapshot again replaces it
PROJECT_ID = uuid5(NAMESPACE_URL, "tierrec:evidently")
_STAGING = ".aside"  # in the workspace, whose projects are named by ids
_PANEL = "Distance of each tier's categories to the reference"


def add_snapshot(snapshot: Any, folder: Path, tiers: Sequence[str], keep: int | None = None) -> None:
    """Add a snapshot to the project of the workspace in the folder, creating both when missing.

    A snapshot of the same name and time is replaced; None adds nothing.
    tiers: names for the dashboard of a new project
    keep: number of newest snapshots to keep, including this one; None keeps all.
    Raises ArtifactError when the workspace is damaged.
    """
    if snapshot is None:
        return
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently.ui.workspace import Workspace

    folder.mkdir(parents=True, exist_ok=True)
    try:
        workspace = Workspace.create(str(folder))
        named = sorted(workspace.search_project(PROJECT), key=lambda project: str(project.id))
        project = workspace.get_project(PROJECT_ID) or (named[0] if named else _create_project(workspace))
        if not project.dashboard.model().panels:
            _add_panels(project, tiers)
        _write(workspace, project.id, snapshot, folder)
        if keep is not None:
            _prune(workspace, project.id, keep, snapshot_id(snapshot))
    except ValueError as error:
        raise ArtifactError(
            f"{folder}: is not an Evidently workspace ({type(error).__name__}), wanted one of an earlier window; "
            "move it away to start a new one"
        ) from error


def snapshot_id(snapshot: Any) -> UUID:
    """Id of a snapshot in the workspace."""
    model = snapshot.to_snapshot_model()
    return uuid5(PROJECT_ID, f"{model.timestamp.isoformat()} {model.name or ''}")


def _prune(workspace: Any, project: UUID, keep: int, newest: UUID) -> None:
    """Delete the oldest snapshots beyond `keep`."""
    others = [run for run in workspace.list_runs(project) if run != newest]
    excess = len(others) + 1 - keep
    if excess > 0:
        oldest_first = sorted(others, key=lambda run: (as_utc(workspace.get_run(project, run).timestamp), str(run)))
        for run in oldest_first[:excess]:
            workspace.delete_run(project, run)


def _write(workspace: Any, project: UUID, snapshot: Any, folder: Path) -> None:
    """Write atomically: Evidently cannot open a workspace with a partial snapshot."""
    staging, name = folder / _STAGING, snapshot_id(snapshot)
    shutil.rmtree(staging, ignore_errors=True)
    type(workspace.state)(str(staging)).write_snapshot(project, name, snapshot.to_snapshot_model())
    (written,) = staging.rglob(f"{name}.json")
    target = folder / written.relative_to(staging)
    target.parent.mkdir(exist_ok=True)
    written.replace(target)
    shutil.rmtree(staging)


def _create_project(workspace: Any) -> Any:
    from evidently.sdk.models import ProjectModel

    about = "Each window of events against the champion's reference; decisions are in data/loop/index.html"
    return workspace.add_project(ProjectModel(id=PROJECT_ID, name=PROJECT, description=about))


def _add_panels(project: Any, tiers: Sequence[str]) -> None:
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import line_plot_panel

    distances = [
        PanelMetric(metric="ValueDrift", legend=tier, metric_labels={"column": f"category of {tier} users"})
        for tier in tiers
    ]
    project.dashboard.add_panel(line_plot_panel(_PANEL, distances))
    columns = PanelMetric(metric="DriftedColumnsCount", legend="share", metric_labels={"value_type": "share"})
    project.dashboard.add_panel(line_plot_panel("Share of columns that drifted", [columns]))
