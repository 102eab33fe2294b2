"""The pages that a person opens: charts of a window, and the history of the loop."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.loop.champion import pointer_path
from flows.loop.memory import Memory
from flows.releases import releases
from monitoring.charts.evidently_page import frames, write
from monitoring.charts.history import render
from monitoring.charts.workspace import push
from monitoring.drift import Reference, Verdict
from services.releases import Pointer
from tierrec_core import artifacts
from tierrec_core.interactions import from_days
from tierrec_core.layout import Layout
from tierrec_core.settings import Settings
from tierrec_core.sources import Log
from tierrec_core.tiers import TIER_NAMES

INDEX = "index.html"


def write_charts(
    layout: Layout, settings: Settings, log: Log, reference: Reference, verdict: Verdict, key: str
) -> Path:
    """Evidently's page of a window beside the reference's, sampled, and the same in the local workspace; its path.

    key: of the decision, since two champions may be held against one window
    """
    day = f"{from_days(verdict.end):%Y-%m-%d}"
    tier_of = {
        str(user): TIER_NAMES[int(tier)] for user, tier in zip(reference.users, reference.tier, strict=True)
    }
    own = reference.observation
    before, after = (
        frames(log.events, log.items, tier_of, start, end, settings.monitor.report_rows, settings.seed)
        for start, end in ((own.start, own.end), (verdict.start, verdict.end))
    )
    page, snapshot = write(
        before, after, layout.loop / "windows" / f"{day}-{key}", verdict.end, name=f"{day} {key}"
    )
    push(snapshot, layout.loop / "evidently")
    return page


def write_history(memory: Memory) -> Path:
    """The loop at a glance: decisions, gates, retrains and releases, as data/loop/index.html."""
    layout = memory.layout
    page = layout.loop / INDEX
    gates: list[Mapping[str, Any]] = [
        artifacts.read_json(path) for path in sorted((layout.loop / "gates").glob("*.json"))
    ]
    made = [one.model_dump(mode="json") for one in releases(layout)]
    retrains = [one.model_dump() for one in memory.retrains()]
    render(memory.decisions, gates, made, page, retrains=retrains, serving=_serving(layout))
    return page


def _serving(layout: Layout) -> Mapping[str, Any] | None:
    """Champion, challenger and its share of users, where a pointer says so."""
    path = pointer_path(layout)
    if not path.exists():
        return None
    now = Pointer.read(path)
    challenger = now.challenger.bento if now.challenger else None
    return {"champion": now.champion.bento, "challenger": challenger, "share": now.share}
