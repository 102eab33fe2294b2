"""The pages of the loop: charts of each window, and the history of decisions, gates, retrains and releases."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from flows.loop.feedback import read_served_lists
from flows.loop.loop_state import LoopState
from flows.project.champion import Champion, pointer_path
from flows.project.release_log import list_releases
from monitoring.drift import DriftReference, DriftVerdict
from monitoring.drift.feed.feed_log import events_between, is_interaction
from monitoring.report.evidently_page import write_window_page
from monitoring.report.evidently_workspace import add_snapshot
from monitoring.report.loop_history import write_loop_page
from monitoring.report.served_lists import ServedLists
from monitoring.report.window_sample import sample_window
from monitoring.simulation.policy_costs import PolicyComparison
from services.releases.pointer import Pointer
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import Settings
from tierrec_core.sources import SourceFrames

INDEX, WINDOWS = "index.html", "windows"
MAX_WINDOWS = 60  # pages of 4 MB each, and points in the history's charts


def write_charts(
    layout: Layout, settings: Settings, log: SourceFrames, reference: DriftReference, verdict: DriftVerdict, key: str
) -> Path:
    """Write Evidently's page of a window beside the reference's, and add both to the local workspace; returns its path.

    Both windows are sampled. Pages beyond the newest MAX_WINDOWS are deleted; the decisions' records stay.
    key: of the decision, since a window may be compared with two champions
    Raises StoreError when the store does not answer.
    """
    day, groups = f"{from_days(verdict.end):%Y-%m-%d}", reference.groups
    tier_of = {str(user): groups.tier_names[tier] for user, tier in zip(reference.users, groups.tier, strict=True)}
    before, after = (
        sample_window(log.events, log.items, tier_of, start, end, settings.monitor.report_rows, settings.seed)
        for start, end in ((reference.window.start, reference.window.end), (verdict.start, verdict.end))
    )
    page, snapshot = write_window_page(
        before,
        after,
        groups.tier_names,
        layout.loop / WINDOWS / f"{day}-{key}",
        verdict.end,
        name=f"{day} {key}",
        served=_served_lists(layout, settings, log, reference, verdict),
        max_rows=settings.monitor.report_rows,
        seed=settings.seed,
    )
    add_snapshot(snapshot, layout.loop / "evidently", groups.tier_names, MAX_WINDOWS)
    _delete_old_pages(layout.loop / WINDOWS, page.parent)
    return page


def write_history(state: LoopState) -> Path:
    """Write data/loop/index.html: decisions, gates, retrains and releases; returns its path."""
    layout = state.layout
    page = layout.loop / INDEX
    gates = [artifacts.read_json(path) for path in sorted((layout.loop / "gates").glob("*.json"))]
    releases = [release.model_dump(mode="json") for release in list_releases(layout)]
    retrains = [retrain.model_dump() for retrain in state.retrains()]
    decisions = [_without_lost_page(decision, layout) for decision in state.decisions]
    replay, serving = _policy_comparison(layout), _serving(layout)
    write_loop_page(decisions, gates, releases, page, retrains=retrains, serving=serving, replay=replay)
    return page


def _policy_comparison(layout: Layout) -> PolicyComparison | None:
    """The newest comparison of policies; None without one, or with one that cannot be read."""
    try:
        return TypeAdapter(PolicyComparison).validate_json(layout.policies.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        print(f"{layout.policies}: is left out of the loop's page; `tierrec simulate --policy all` writes it: {error}")
        return None


def _served_lists(
    layout: Layout, settings: Settings, log: SourceFrames, reference: DriftReference, verdict: DriftVerdict
) -> ServedLists | None:
    """The champion's lists in the window; known items are those of the reference window."""
    champion = Champion.find(layout)
    if champion is None:
        return None
    lists = read_served_lists(layout, champion, settings, log.events, verdict.start, verdict.end)
    if lists is None:
        return None
    known = events_between(log.events, reference.window.start, reference.window.end)
    return replace(lists, known=known[is_interaction(known)], items=log.items)


def _delete_old_pages(folder: Path, newest: Path) -> None:
    """Delete the pages of the oldest windows beyond MAX_WINDOWS; a folder's name begins with its window's last day."""
    others = sorted(path for path in folder.iterdir() if path.is_dir() and path != newest)
    for path in others[: max(len(others) + 1 - MAX_WINDOWS, 0)]:
        shutil.rmtree(path, ignore_errors=True)


def _without_lost_page(decision: dict[str, Any], layout: Layout) -> dict[str, Any]:
    page = decision.get("page")
    return decision | {"page": None} if page and not (layout.loop / page).exists() else decision


def _serving(layout: Layout) -> Mapping[str, Any] | None:
    """Champion, challenger and its share of users; None without a pointer."""
    path = pointer_path(layout)
    if not path.exists():
        return None
    pointer = Pointer.read(path)
    challenger = pointer.challenger.bento if pointer.challenger else None
    return {"champion": pointer.champion.bento, "challenger": challenger, "share": pointer.share}
