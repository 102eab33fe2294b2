"""Stage `report`: one self-contained HTML page of a run.

The same artifacts give the same bytes. Missing artifacts are left out, so that the page can be made at any point of a
run.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from monitoring.report.json_blocks import JsonTable, is_number, json_tables, readable_label
from monitoring.report.leaderboard_view import read_boards, task_order
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.data.splits import SplitLog
from tierrec_core.settings import Settings, TimeSplit

_TOP_FEATURES = 20
_TINY = 0.00005
_TIER_PARTS = ("tiers", "monthly", "stability", "eta_squared_next_28_days", "layers")
_DATA_DOCS = "../validation/docs/index.html"


def run(layout: Layout, settings: Settings) -> None:
    """Write the page from the reports of the earlier stages. Raises ArtifactError when one is not JSON."""
    page = render_report(
        validation=_read(layout, "validation"),
        preparation=_read(layout, "preparation"),
        windows=split_windows(layout, settings),
        tiers=_read(layout, "tiers_report"),
        blend=_read(layout, "blend_report"),
        metrics=_read(layout, "metrics"),
    )
    with artifacts.replacing_file(layout.report) as file:
        file.write_text(page, encoding="utf-8")


def render_report(
    *,
    validation: Mapping[str, Any],
    preparation: Mapping[str, Any],
    windows: JsonTable | None,
    tiers: Mapping[str, Any],
    blend: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> str:
    """Render the page; an empty mapping leaves its section out."""
    boards = read_boards(metrics)
    environment = Environment(
        loader=PackageLoader("monitoring.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"figure": format_cell, "readable": readable_label}
    return environment.get_template("report.html.j2").render(
        validation=validation,
        data_docs=_DATA_DOCS,
        preparation=list(json_tables(preparation)),
        windows=windows,
        boards=boards,
        tiers=list(json_tables(_ordered(tiers or metrics.get("tiers", {}), _TIER_PARTS))),
        audits=list(json_tables(metrics.get("audit", {}))),
        importances=list(feature_importances(blend)),
        blend=list(json_tables(_without_importances(blend))),
    )


def split_windows(layout: Layout, settings: Settings) -> JsonTable | None:
    """The windows of training and evaluation, or None before the split."""
    if not layout.split.exists():
        return None
    log = artifacts.load(SplitLog, layout.split)
    dated = isinstance(settings.split.by, TimeSplit)
    rows = tuple(
        (
            window.task,
            window.role,
            window.snapshot,
            f"{from_days(window.until):%Y-%m-%d}" if dated else f"{window.until:+g}",
        )
        for window in log.windows
    )
    return JsonTable("Split windows", ("Task", "Role", "Training data before", "Evaluated until"), rows)


def feature_importances(blend: Mapping[str, Any]) -> Iterator[JsonTable]:
    """The most important features of each task's blend, as shares of the total importance."""
    for task, block in sorted(blend.items(), key=lambda pair: task_order(pair[0])):
        for key, weights in block.items() if isinstance(block, Mapping) else ():
            if _is_importance(key, weights) and (total := sum(weights.values())):
                ranked = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))[:_TOP_FEATURES]
                rows = tuple((name, weight / total) for name, weight in ranked)
                yield JsonTable(readable_label(task), ("Feature", "Share"), rows, bars=True)


def format_cell(value: Any) -> str:
    """Format a cell: four digits for fractions, thousands separators, a dash for missing."""
    match value:
        case None | "":
            return "–"
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer():
            return f"{value:,.0f}"
        case float():
            return f"{value:,.4g}" if abs(value) >= 1 else f"{value:.4f}" if abs(value) >= _TINY else f"{value:.1e}"
        case int():
            return f"{value:,}"
    return str(value)


def _ordered(report: Mapping[str, Any], first: tuple[str, ...]) -> dict[str, Any]:
    """The report with these keys first."""
    return {key: report[key] for key in [*first, *report] if key in report}


def _without_importances(blend: Mapping[str, Any]) -> dict[str, Any]:
    return {
        task: {key: part for key, part in block.items() if not _is_importance(key, part)}
        if isinstance(block, Mapping)
        else block
        for task, block in blend.items()
    }


def _is_importance(key: str, value: Any) -> bool:
    return "importance" in key and isinstance(value, Mapping) and all(map(is_number, value.values()))


def _read(layout: Layout, name: str) -> dict[str, Any]:
    """A stage's JSON report, empty before the stage has run."""
    path = getattr(layout, name)
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: is not a JSON report ({error}); rerun the stage that writes it") from error
