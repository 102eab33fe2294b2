"""Stage `report`: one self-contained page on which a person reads a run.

It needs no network and holds no clock: the same artefacts give the same bytes. Artefacts that are not there
yet are left out, so that the page can be made at any point of a run.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from monitoring.report.json_blocks import JsonTable, is_number, read_blocks, readable
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
    page = render(
        validation=_read(layout, "validation"),
        preparation=_read(layout, "preparation"),
        windows=split_windows(layout, settings),
        tiers=_read(layout, "tiers_report"),
        blend=_read(layout, "blend_report"),
        metrics=_read(layout, "metrics"),
    )
    with artifacts.replacing_file(layout.report) as fresh:
        fresh.write_text(page, encoding="utf-8")


def render(
    *,
    validation: Mapping[str, Any],
    preparation: Mapping[str, Any],
    windows: JsonTable | None,
    tiers: Mapping[str, Any],
    blend: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> str:
    """The page as HTML; an empty mapping leaves its section out."""
    boards = read_boards(metrics)
    environment = Environment(
        loader=PackageLoader("monitoring.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {"figure": figure, "readable": readable}
    return environment.get_template("report.html.j2").render(
        validation=validation,
        data_docs=_DATA_DOCS,
        preparation=list(read_blocks(preparation)),
        windows=windows,
        boards=boards,
        tiers=list(read_blocks(_ordered(tiers or metrics.get("tiers", {}), _TIER_PARTS))),
        audits=list(read_blocks(metrics.get("audit", {}))),
        importances=list(feature_importances(blend)),
        blend=list(read_blocks(_without_importances(blend))),
    )


def split_windows(layout: Layout, settings: Settings) -> JsonTable | None:
    """The windows that the blend learns from and that models are judged on, or None before the split."""
    if not layout.split.exists():
        return None
    log = artifacts.load(SplitLog, layout.split)
    dated = isinstance(settings.split.by, TimeSplit)
    rows = tuple(
        (one.task, one.role, one.snapshot, f"{from_days(one.until):%Y-%m-%d}" if dated else f"{one.until:+g}")
        for one in log.windows
    )
    return JsonTable("Split windows", ("Task", "Role", "Known before", "Judged until"), rows)


def feature_importances(blend: Mapping[str, Any]) -> Iterator[JsonTable]:
    """What each task's blend looks at, the most important first, as shares of all importance."""
    for task, block in sorted(blend.items(), key=lambda pair: task_order(pair[0])):
        for key, weights in block.items() if isinstance(block, Mapping) else ():
            if _is_importance(key, weights) and (total := sum(weights.values())):
                ranked = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))[:_TOP_FEATURES]
                rows = tuple((name, weight / total) for name, weight in ranked)
                yield JsonTable(readable(task), ("Feature", "Share"), rows, bars=True)


def figure(value: Any) -> str:
    """A cell as a person reads it: four digits for fractions, thousands apart, a dash for nothing."""
    match value:
        case None | "":
            return "–"
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer():
            return f"{value:,.0f}"
        case float():
            return (
                f"{value:,.4g}"
                if abs(value) >= 1
                else f"{value:.4f}"
                if abs(value) >= _TINY
                else f"{value:.1e}"
            )
        case int():
            return f"{value:,}"
    return str(value)


def _ordered(report: Mapping[str, Any], first: tuple[str, ...]) -> dict[str, Any]:
    """The report with these keys first, where it has them."""
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
        raise ArtifactError(
            f"{path}: is not a JSON report ({error}); run the stage that makes it again"
        ) from error
