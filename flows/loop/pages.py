"""The pages that a person opens: charts of a window, and the history of the loop."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.loop.loop_state import LoopState
from flows.loop.online_metrics import read_served_lists
from flows.project.champion import Champion, pointer_path
from flows.project.release_log import list_releases
from monitoring.drift import DriftReference, DriftVerdict
from monitoring.drift.measurement.encoded_events import events_between, is_interaction
from monitoring.report.evidently_page import write_window_page
from monitoring.report.evidently_workspace import add_snapshot
from monitoring.report.loop_history import write_loop_page
from monitoring.report.served_lists import ServedLists
from monitoring.report.window_sample import sample_window
from services.releases.pointer import Pointer
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import Settings
from tierrec_core.sources import SourceFrames
from tierrec_core.tiers import TIER_NAMES

INDEX, WINDOWS = "index.html", "windows"
KEPT = 60  # pages of windows, of 4 MB each; as many windows are points in the history's charts


def write_charts(
    layout: Layout, settings: Settings, log: SourceFrames, reference: DriftReference, verdict: DriftVerdict, key: str
) -> Path:
    """Evidently's page of a window beside the reference's, sampled, and the same in the local workspace; its path.

    The newest KEPT pages stay; what was decided stays in any case. Raises StoreError when the store does not answer.
    key: of the decision, since two champions may be held against one window
    """
    day = f"{from_days(verdict.end):%Y-%m-%d}"
    tier_of = {str(user): TIER_NAMES[int(tier)] for user, tier in zip(reference.users, reference.tier, strict=True)}
    own = reference.window
    before, after = (
        sample_window(log.events, log.items, tier_of, start, end, settings.monitor.report_rows, settings.seed)
        for start, end in ((own.start, own.end), (verdict.start, verdict.end))
    )
    page, snapshot = write_window_page(
        before,
        after,
        layout.loop / WINDOWS / f"{day}-{key}",
        verdict.end,
        name=f"{day} {key}",
        served=_served(layout, settings, log, reference, verdict),
        max_rows=settings.monitor.report_rows,
        seed=settings.seed,
    )
    add_snapshot(snapshot, layout.loop / "evidently", KEPT)
    _prune(layout.loop / WINDOWS, page.parent)
    return page


def write_history(memory: LoopState) -> Path:
    """The loop at a glance: decisions, gates, retrains and releases, as data/loop/index.html."""
    layout = memory.layout
    page = layout.loop / INDEX
    gates: list[Mapping[str, Any]] = [
        artifacts.read_json(path) for path in sorted((layout.loop / "gates").glob("*.json"))
    ]
    made = [one.model_dump(mode="json") for one in list_releases(layout)]
    retrains = [one.model_dump() for one in memory.retrains()]
    decisions = [_without_lost_page(one, layout) for one in memory.decisions]
    write_loop_page(decisions, gates, made, page, retrains=retrains, serving=_serving(layout))
    return page


def _served(
    layout: Layout, settings: Settings, log: SourceFrames, reference: DriftReference, verdict: DriftVerdict
) -> ServedLists | None:
    """What the champion showed in the window; items count as known that were met in the reference's."""
    champion = Champion.find(layout)
    if champion is None:
        return None
    lists = read_served_lists(layout, champion, settings, log.events, verdict.start, verdict.end)
    if lists is None:
        return None
    known = events_between(log.events, reference.window.start, reference.window.end)
    return replace(lists, known=known[is_interaction(known)], items=log.items)


def _prune(folder: Path, fresh: Path) -> None:
    """Throw away the pages of the oldest windows beyond KEPT; a folder's name begins with its window's last day."""
    others = sorted(one for one in folder.iterdir() if one.is_dir() and one != fresh)
    for one in others[: max(len(others) + 1 - KEPT, 0)]:
        shutil.rmtree(one, ignore_errors=True)


def _without_lost_page(decision: dict[str, Any], layout: Layout) -> dict[str, Any]:
    page = decision.get("page")
    return decision | {"page": None} if page and not (layout.loop / page).exists() else decision


def _serving(layout: Layout) -> Mapping[str, Any] | None:
    """Champion, challenger and its share of users, where a pointer says so."""
    path = pointer_path(layout)
    if not path.exists():
        return None
    now = Pointer.read(path)
    challenger = now.challenger.bento if now.challenger else None
    return {"champion": now.champion.bento, "challenger": challenger, "share": now.share}
