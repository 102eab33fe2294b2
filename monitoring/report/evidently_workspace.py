"""A local Evidently workspace that keeps every window, for `evidently ui --workspace data/loop/evidently`."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from tierrec_core.base.errors import ArtifactError
from tierrec_core.tiers import TIER_NAMES

PROJECT = "tierrec"
# fixed ids instead of random ones: what is pushed twice, or again after a kill, is there once
PROJECT_ID = uuid5(NAMESPACE_URL, "tierrec:evidently")
_ASIDE = ".aside"  # in the workspace, whose projects have ids for names
_DRIFT = "Distance of each tier's categories from the reference's"


def push(snapshot: Any, folder: Path, keep: int | None = None) -> None:
    """Add a snapshot to the one project of the workspace in the folder; both are made when they are missing.

    A snapshot of the same name takes the place of the one before; None adds nothing.
    keep: how many of the newest stay, this one among them; all where nothing is said. Raises ArtifactError when the
    workspace is damaged.
    """
    if snapshot is None:
        return
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently.ui.workspace import Workspace

    folder.mkdir(parents=True, exist_ok=True)
    try:
        workspace = Workspace.create(str(folder))
        named = sorted(workspace.search_project(PROJECT), key=lambda one: str(one.id))
        project = workspace.get_project(PROJECT_ID) or (named[0] if named else _make(workspace))
        if not project.dashboard.model().panels:
            _draw(project)
        _write(workspace, project.id, snapshot, folder)
        if keep is not None:
            _prune(workspace, project.id, keep, snapshot_id(snapshot))
    except ValueError as error:
        raise ArtifactError(
            f"{folder}: is no Evidently workspace ({type(error).__name__}), wanted one that an earlier window wrote; "
            "move it away, and a new one is begun"
        ) from error


def snapshot_id(snapshot: Any) -> UUID:
    """By which the workspace knows a snapshot."""
    model = snapshot.to_snapshot_model()
    return uuid5(PROJECT_ID, f"{model.timestamp.isoformat()} {model.name or ''}")


def _prune(workspace: Any, project: UUID, keep: int, newest: UUID) -> None:
    """Delete the snapshots of the oldest windows beyond so many; to know which, all must be read."""
    others = [one for one in workspace.list_runs(project) if one != newest]
    excess = len(others) + 1 - keep
    if excess > 0:
        for one in sorted(others, key=lambda run: (_moment(workspace, project, run), str(run)))[:excess]:
            workspace.delete_run(project, one)


def _moment(workspace: Any, project: UUID, run: UUID) -> datetime:
    moment: datetime = workspace.get_run(project, run).timestamp
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _write(workspace: Any, project: UUID, snapshot: Any, folder: Path) -> None:
    """In one step: half a snapshot, as a kill would leave it, and Evidently opens the workspace no more."""
    aside, name = folder / _ASIDE, snapshot_id(snapshot)
    shutil.rmtree(aside, ignore_errors=True)
    type(workspace.state)(str(aside)).write_snapshot(project, name, snapshot.to_snapshot_model())
    (whole,) = aside.rglob(f"{name}.json")
    target = folder / whole.relative_to(aside)
    target.parent.mkdir(exist_ok=True)
    whole.replace(target)
    shutil.rmtree(aside)


def _make(workspace: Any) -> Any:
    from evidently.sdk.models import ProjectModel

    about = "Each window of events beside the champion's reference; decisions are in data/loop/index.html"
    return workspace.add_project(ProjectModel(id=PROJECT_ID, name=PROJECT, description=about))


def _draw(project: Any) -> None:
    """Lines over all windows, which the dashboard would not show by itself."""
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import line_plot_panel

    tiers = [
        PanelMetric(metric="ValueDrift", legend=tier, metric_labels={"column": f"category of {tier} users"})
        for tier in TIER_NAMES
    ]
    project.dashboard.add_panel(line_plot_panel(_DRIFT, tiers))
    columns = PanelMetric(metric="DriftedColumnsCount", legend="share", metric_labels={"value_type": "share"})
    project.dashboard.add_panel(line_plot_panel("Share of columns that drifted", [columns]))
