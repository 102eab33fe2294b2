"""The pages that a person opens: charts of a window, and the history of the loop."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.loop.memory import Memory
from flows.releases import releases
from monitoring.charts.evidently_page import frames, write
from monitoring.charts.history import render
from monitoring.charts.workspace import push
from monitoring.drift import Reference, Verdict
from tierrec_core import artifacts
from tierrec_core.interactions import from_days
from tierrec_core.layout import Layout
from tierrec_core.settings import Settings
from tierrec_core.sources import Log
from tierrec_core.tiers import TIER_NAMES

INDEX = "index.html"


def write_charts(
    layout: Layout, settings: Settings, log: Log, reference: Reference, verdict: Verdict
) -> Path:
    """Evidently's page of a window beside the reference's, sampled, and the same in the local workspace; its path."""
    day = f"{from_days(verdict.end):%Y-%m-%d}"
    tier_of = {
        str(user): TIER_NAMES[int(tier)] for user, tier in zip(reference.users, reference.tier, strict=True)
    }
    own = reference.observation
    before, after = (
        frames(log.events, log.items, tier_of, start, end, settings.monitor.report_rows, settings.seed)
        for start, end in ((own.start, own.end), (verdict.start, verdict.end))
    )
    page, snapshot = write(before, after, layout.loop / "windows" / day, verdict.end)
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
    render(memory.decisions, gates, made, page)
    return page
