"""Removes what no current output and no release in use needs, once the stages have run without a forgotten user."""

import shutil
from collections.abc import Iterator

from flows.gpu.dvc_remote import prune_remote
from flows.graph.dvc_cache import prune_cache
from flows.graph.dvc_graph import find_stale_stages
from flows.privacy.traces import ScanResult, find_traces, models_in_use
from flows.project.git import run_git
from flows.project.lock import project_lock
from services.deployment.bento_store import list_bentos
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings
from tierrec_core.sources.input_files.forgotten import ForgottenUsers


def clean_old_objects(layout: Layout, settings: Settings, user_id: str) -> Iterator[str]:
    """Delete what is outdated and holds the user; yields a line on each kind. A killed call is called again.

    Of DVC's cache all outdated objects go, since arrays of a user's events bear no id. Earlier releases can then
    neither be reproduced nor rolled back to. Raises SettingsError for a user who is not on the list, and while a
    stage is stale.
    """
    if user_id not in ForgottenUsers.read(layout):
        raise SettingsError(
            f"forget: user {user_id!r} is not forgotten yet; run `tierrec forget` without --clean first"
        )
    with project_lock(layout.root, "forget --clean"):
        if stale := find_stale_stages(layout.root):
            raise SettingsError(
                f"forget: {', '.join(sorted(stale))} may still hold the user's rows, since they are stale; "
                "run `tierrec run` first, then --clean"
            )
        num_objects = prune_cache(layout.root, [])[0] + prune_remote(layout.root, max_bytes=0)
        yield f"DVC's cache: {num_objects:,} outdated objects deleted"
        result = find_traces(layout, settings, user_id)
        yield from _delete_models(layout, result)
        yield from _delete_pages(layout, result)
        for ref in sorted({ref for trace in result.traces for ref in trace.refs}):
            run_git(layout.root, "update-ref", "-d", ref)
            yield f"{ref}: deleted"


def _delete_models(layout: Layout, result: ScanResult) -> Iterator[str]:
    """Delete stored models that hold the user and serve nobody, and their Bentos."""
    models, in_use = layout.bento_home / "models", models_in_use(layout)
    parts = [
        trace.path.relative_to(models).parts
        for trace in result.traces
        if trace.path and trace.path.is_relative_to(models)
    ]
    outdated = {f"{name}:{version}" for name, version, *_ in parts} - in_use
    for bento in list_bentos(layout):
        if bento.model in outdated:
            shutil.rmtree(layout.bento_home / "bentos" / bento.tag.replace(":", "/"))
            yield f"Bento {bento.tag}: deleted"
    for model in sorted(outdated):
        shutil.rmtree(models / model.replace(":", "/"))
        yield f"model {model}: deleted"


def _delete_pages(layout: Layout, result: ScanResult) -> Iterator[str]:
    """Delete the pages of windows, and Evidently's snapshots, that hold the user."""
    windows, snapshots = layout.loop / "windows", layout.loop / "evidently"
    for path in [trace.path for trace in result.traces if trace.path]:
        if path.is_relative_to(windows):
            shutil.rmtree(windows / path.relative_to(windows).parts[0], ignore_errors=True)
            yield f"{path}: its window's page is deleted"
        elif path.is_relative_to(snapshots):
            path.unlink(missing_ok=True)
            yield f"{path}: deleted"
