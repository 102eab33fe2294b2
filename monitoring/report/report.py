"""Stage `report`: one self-contained HTML page of a run.

The same artifacts give the same bytes. Missing artifacts are omitted, so that the page can be rendered at any point
of a run.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monitoring.report.html import render_template, write_page
from monitoring.report.json_blocks import JsonTable, is_number, json_tables, order_keys, readable_label
from monitoring.report.leaderboard_view import read_boards, task_order
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.data.splits import SplitLog
from tierrec_core.settings import Settings, TimeSplit

_TOP_FEATURES = 20
_TIER_PARTS = ("tiers", "monthly", "stability", "eta_squared_next_28_days", "layers")
_DATA_DOCS = "../validation/docs/index.html"


def run(layout: Layout, settings: Settings) -> None:
    """Write the page from the reports of the earlier stages. Raises ArtifactError when one is not JSON."""
    page = render_report(
        settings.tiers.names,
        validation=_read(layout.validation),
        preparation=_read(layout.preparation),
        windows=split_windows(layout, settings),
        tiers=_read(layout.tiers_report),
        blend=_read(layout.blend_report),
        metrics=_read(layout.metrics),
    )
    write_page(page, layout.report)


def render_report(
    tier_names: Sequence[str],
    *,
    validation: Mapping[str, Any],
    preparation: Mapping[str, Any],
    windows: JsonTable | None,
    tiers: Mapping[str, Any],
    blend: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> str:
    """Render the page; an empty mapping leaves its section out. tier_names: in the order of rows and columns."""
    metrics = order_keys(metrics, tier_names)
    return render_template(
        "report.html.j2",
        {"readable": readable_label},
        validation=validation,
        data_docs=_DATA_DOCS,
        preparation=list(json_tables(preparation)),
        windows=windows,
        boards=read_boards(metrics),
        tiers=list(json_tables(order_keys(tiers or metrics.get("tiers", {}), (*_TIER_PARTS, *tier_names)))),
        tier_names=tier_names,
        audits=list(json_tables(metrics.get("audit", {}))),
        importances=list(feature_importances(blend)),
        blend=list(json_tables(order_keys(_without_importances(blend), tier_names))),
    )


def split_windows(layout: Layout, settings: Settings) -> JsonTable | None:
    """The windows of training and evaluation, or None before the split."""
    if not layout.split.exists():
        return None
    log = artifacts.load(SplitLog, layout.split)
    dated = isinstance(settings.split.by, TimeSplit)
    rows = []
    for window in log.windows:
        until = f"{from_days(window.until):%Y-%m-%d}" if dated else f"{window.until:+g}"
        rows.append((window.task, window.role, window.snapshot, until))
    return JsonTable("Split windows", ("Task", "Role", "Training data before", "Evaluated until"), tuple(rows))


def feature_importances(blend: Mapping[str, Any]) -> Iterator[JsonTable]:
    """The most important features of each task's blend, as shares of the total importance."""
    for task, block in sorted(blend.items(), key=lambda pair: task_order(pair[0])):
        for key, weights in block.items() if isinstance(block, Mapping) else ():
            if _is_importance(key, weights) and (total := sum(weights.values())):
                ranked = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))[:_TOP_FEATURES]
                rows = tuple((name, weight / total) for name, weight in ranked)
                yield JsonTable(readable_label(task), ("Feature", "Share"), rows, bars=True)


def _without_importances(blend: Mapping[str, Any]) -> dict[str, Any]:
    return {
        task: {key: part for key, part in block.items() if not _is_importance(key, part)}
        if isinstance(block, Mapping)
        else block
        for task, block in blend.items()
    }


def _is_importance(key: str, value: Any) -> bool:
    return "importance" in key and isinstance(value, Mapping) and all(map(is_number, value.values()))


def _read(path: Path) -> dict[str, Any]:
    """A stage's JSON report, empty before the stage has run."""
    return dict(artifacts.read_json(path)) if path.exists() else {}
