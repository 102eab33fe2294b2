"""Page of a current window against the reference window: categories by tier, and Evidently's charts."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from monitoring.report.html import render_template, write_page
from monitoring.report.served_lists import (
    ServedLists,
    count_users,
    label_served_items,
    list_snapshots,
    ranking_snapshot,
)
from monitoring.report.window_sample import PER_USER
from tierrec_core.base import artifacts
from tierrec_core.data.interactions import from_days

HTML, JSON = "drift.html", "drift.json"
CHART_CATEGORIES = 20  # with a bar in Evidently's charts
TABLE_ROWS = 10
_NUMBERS = ("price", "value", *PER_USER)
_MAX_ROWS = 20_000
_EVIDENTLY_LIMIT = 0.1


class EvidentlyPage(NamedTuple):
    """The page's path, and Evidently's snapshot for the workspace; None without data to chart."""

    page: Path
    snapshot: Any


@dataclass(frozen=True)
class ShareCell:
    """A share of a tier's interactions in the reference and in the current window; None without any."""

    before: float | None
    now: float | None


@dataclass(frozen=True)
class ShareRow:
    """One category, or several summed; a cell for each tier."""

    name: str
    cells: tuple[ShareCell, ...]


@dataclass(frozen=True)
class ShareTable:
    """Category shares by tier in both windows.

    rows: the largest categories of the reference, largest first
    sums: sums over the remaining categories, with and without a bar in Evidently's charts
    largest: the largest share of the rows, the scale of their bars
    """

    tiers: tuple[str, ...]
    rows: tuple[ShareRow, ...]
    sums: tuple[ShareRow, ...]
    largest: float


def write_window_page(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    tiers: Sequence[str],
    folder: Path,
    day: float,
    *,
    name: str = "",
    served: ServedLists | None = None,
    max_rows: int = _MAX_ROWS,
    seed: int = 0,
) -> EvidentlyPage:
    """Write drift.html, which is self-contained, and drift.json into the folder.

    reference, current: from `sample_window`; tiers: names by ascending activity
    day: timestamp of the snapshot, since 1970 UTC; name: of the snapshot, to distinguish two of one day
    served: lists served in the current window; users are sampled with all their rows, at most max_rows in total
    Raises ArtifactError when the files cannot be written.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    charted = list(reference["category"].value_counts().index[:CHART_CATEGORIES])
    before, after = (_columns(frame, charted, tiers) for frame in (reference, current))
    filled = [column for column in before if before[column].notna().any() and after[column].notna().any()]
    date = f"{from_days(day):%Y-%m-%d}"
    about = {"timestamp": from_days(day).to_pydatetime(), "name": name or date}
    parts = [_drift_snapshot(before[filled], after[filled], about)] if filled else []
    labelled = None
    if served is not None:
        labelled = label_served_items(served, max_rows, seed)
        parts += [ranking_snapshot(labelled, **about)] if len(labelled) else []
        parts += list_snapshots(served, max_rows, seed, **about)
    snapshot = _merge(parts) if parts else None
    page = render_template(
        "window.html.j2",
        {},
        charts=_document(snapshot),
        day=date,
        sides=[
            {"name": side, "rows": len(frame), "users": int(frame["user_id"].nunique())}
            for side, frame in (("reference", reference), ("current window", current))
        ],
        missing=[column for column in before if column not in filled],
        categories=category_shares(reference, current, charted, tiers),
        lists=count_users(served, labelled),
    )
    write_page(page, folder / HTML)
    artifacts.write_json(_metrics(snapshot), folder / JSON)
    return EvidentlyPage(folder / HTML, snapshot)


def category_shares(
    reference: pd.DataFrame, current: pd.DataFrame, charted: list[str], tiers: Sequence[str]
) -> ShareTable:
    """Table of two frames from `sample_window`; charted: categories with a bar. Each tier's column sums to 1."""
    sides = [_shares(frame, tiers) for frame in (reference, current)]
    rows = tuple(_row(str(name), sides, [name]) for name in charted[:TABLE_ROWS])
    more = charted[TABLE_ROWS:]
    others = sorted({name for side in sides for tier in side for name in tier.index} - set(charted))
    summed = {f"the next {len(more)}": more, "all others": others}
    sums = tuple(_row(name, sides, categories) for name, categories in summed.items() if categories)
    shares = [share or 0.0 for row in rows for cell in row.cells for share in (cell.before, cell.now)]
    return ShareTable(tuple(tiers), rows, sums, max(shares, default=0.0))


def _shares(frame: pd.DataFrame, tiers: Sequence[str]) -> list[pd.Series]:
    """Shares of each tier's interactions by category; empty for a tier without interactions."""
    return [frame.loc[frame["tier"] == tier, "category"].value_counts(normalize=True).astype(float) for tier in tiers]


def _row(name: str, sides: Sequence[Sequence[pd.Series]], categories: list[str]) -> ShareRow:
    before, now = (
        [float(tier.reindex(categories, fill_value=0.0).sum()) if len(tier) else None for tier in side]
        for side in sides
    )
    return ShareRow(name, tuple(map(ShareCell, before, now)))


def _drift_snapshot(before: pd.DataFrame, after: pd.DataFrame, about: Mapping[str, Any]) -> Any:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [column for column in _NUMBERS if column in before]
    definition = DataDefinition(
        categorical_columns=[column for column in before if column not in numbers], numerical_columns=numbers
    )
    reference, current = (Dataset.from_pandas(frame, data_definition=definition) for frame in (before, after))
    limits = {
        column: (_wasserstein_limit if column in PER_USER else _jensen_shannon_limit)(before[column], after[column])
        for column in before
        if column in PER_USER or column not in numbers
    }
    # Evidently's default below 1,000 rows is p-values, which are not comparable over windows
    preset = DataDriftPreset(cat_method="jensenshannon", num_method="wasserstein", per_column_threshold=limits)
    return Report([preset]).run(current, reference, **about)


def _wasserstein_limit(before: pd.Series, after: pd.Series) -> float:
    """Three standard errors of a difference of means, in standard deviations; at least Evidently's default limit."""
    smallest = min(before.notna().sum(), after.notna().sum())
    return max(_EVIDENTLY_LIMIT, 3 * math.sqrt(2 / smallest))


def _jensen_shannon_limit(before: pd.Series, after: pd.Series) -> float:
    """Twice the Jensen-Shannon distance expected of two samples of one distribution, at least Evidently's default.

    For small differences the divergence is an eighth of the chi-squared statistic, with the degrees of freedom as mean.
    """
    sizes = [int(column.notna().sum()) for column in (before, after)]
    degrees = pd.concat([before, after]).nunique() - 1
    return max(_EVIDENTLY_LIMIT, 2 * math.sqrt(degrees / 8 * sum(1 / size for size in sizes)))


def _columns(frame: pd.DataFrame, charted: Sequence[str], tiers: Sequence[str]) -> pd.DataFrame:
    """A category column per tier, empty for other tiers and for categories without a bar, and the other columns."""
    category = frame["category"].where(frame["category"].isin(charted))
    by_tier = {f"category of {tier} users": category.where(frame["tier"] == tier) for tier in tiers}
    return pd.DataFrame(by_tier | {column: frame[column] for column in ("event", "tier", *_NUMBERS)})


def _merge(snapshots: list[Any]) -> Any:
    from evidently.core.report import Snapshot

    models = [snapshot.to_snapshot_model() for snapshot in snapshots]
    parts = {
        "metric_results": {key: result for model in models for key, result in model.metric_results.items()},
        "top_level_metrics": [key for model in models for key in model.top_level_metrics],
        "widgets": [widget for model in models for widget in model.widgets],
        "tests_widgets": [widget for model in models for widget in model.tests_widgets],
    }
    return Snapshot.load_model(models[0].copy(update=parts))


def _document(snapshot: Any) -> str | None:
    """Evidently's page as an attribute value; only the characters that quoting requires are escaped.

    Escaping all special characters makes the page a third larger.
    """
    if snapshot is None:
        return None
    document: str = snapshot.get_html_str(as_iframe=False)
    return document.replace("&", "&amp;").replace('"', "&quot;")


def _metrics(snapshot: Any) -> dict[str, Any]:
    """Evidently's metrics as JSON; NaN becomes null."""
    if snapshot is None:
        return {"metrics": [], "tests": []}
    content: dict[str, Any] = json.loads(snapshot.json(), parse_constant=lambda _: None)
    return {**content, "metrics": [_ranks_from_one(metric) for metric in content["metrics"]]}


def _ranks_from_one(metric: dict[str, Any]) -> dict[str, Any]:
    """Values by rank as a mapping; Evidently's ranks of NDCG and MRR begin at 2."""
    value = metric.get("value")
    if not isinstance(value, dict) or "rank" not in value:
        return metric
    ranks = sorted(value["value"], key=int)
    return metric | {"value": {str(rank): value["value"][key] for rank, key in enumerate(ranks, start=1)}}
