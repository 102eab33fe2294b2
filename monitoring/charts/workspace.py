"""A local Evidently workspace that keeps every window, for `evidently ui --workspace data/loop/evidently`."""

import os
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from tierrec_core.errors import ArtifactError
from tierrec_core.tiers import TIER_NAMES

PROJECT = "tierrec"
# fixed ids instead of random ones: what is pushed twice, or again after a kill, is there once
PROJECT_ID = uuid5(NAMESPACE_URL, "tierrec:evidently")
_DRIFT = "Distance of each tier's categories from the reference's"


def push(snapshot: Any, folder: Path) -> None:
    """Add a snapshot to the one project of the workspace in the folder; both are made when they are missing.

    A snapshot of the same name takes the place of the one before; None adds nothing. Raises ArtifactError when the
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
        workspace.state.write_snapshot(project.id, snapshot_id(snapshot), snapshot.to_snapshot_model())
    except ValueError as error:
        raise ArtifactError(
            f"{folder}: is no Evidently workspace ({type(error).__name__}), wanted one that an earlier window wrote; "
            "move it away, and a new one is begun"
        ) from error


def snapshot_id(snapshot: Any) -> UUID:
    """By which the workspace knows a snapshot."""
    model = snapshot.to_snapshot_model()
    return uuid5(PROJECT_ID, f"{model.timestamp.isoformat()} {model.name or ''}")


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
