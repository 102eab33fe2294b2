"""Evidently's page of a window beside the reference's: categories by tier, events, users' habits, served lists."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from monitoring.report import served_lists as recsys
from monitoring.report.category_shares import shares, told_apart
from monitoring.report.served_lists import ServedLists
from monitoring.report.window_sample import PER_USER
from monitoring.report.window_sample import frames as frames
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError
from tierrec_core.data.interactions import from_days
from tierrec_core.tiers import TIER_NAMES

HTML, JSON = "drift.html", "drift.json"
_NUMBERS = ("price", "value", *PER_USER)
_ROWS = 20_000
_EVIDENTLYS_LIMIT = 0.1
_BODY = "</head>\n    <body>"


class EvidentlyPage(NamedTuple):
    """The page, and Evidently's snapshot for the workspace; None where there is nothing to draw."""

    page: Path
    snapshot: Any


def write(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    folder: Path,
    day: float,
    *,
    name: str = "",
    ranked: ServedLists | None = None,
    ranked_before: ServedLists | None = None,
    rows: int = _ROWS,
    seed: int = 0,
) -> EvidentlyPage:
    """Write drift.html and drift.json into the folder; the page needs no network.

    reference, current: what `frames` made; day: of the snapshot, since 1970 UTC
    name: by which the workspace tells two snapshots of one day apart
    ranked, ranked_before: lists that were served in the two windows, of which whole users with at most `rows` rows are
    looked at. Raises ArtifactError when the files cannot be written.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    told = told_apart(reference)
    before, after = (_columns(one, told) for one in (reference, current))
    shown = [one for one in before if before[one].notna().any() and after[one].notna().any()]
    missing = [one for one in before if one not in shown]
    about = {"timestamp": from_days(day).to_pydatetime(), "name": name or f"{from_days(day):%Y-%m-%d}"}
    parts = []
    if shown:
        parts.append(_drift(before[shown], after[shown], about))
    lists, past = (None if one is None else recsys.judged(one, rows, seed) for one in (ranked, ranked_before))
    if lists is not None and len(lists):
        parts.append(recsys.report(lists, past if past is not None and len(past) else None, **about))
    if ranked is not None:
        parts += recsys.shown(ranked, rows, seed, **about)
    snapshot = _together(parts) if parts else None
    facts = {
        "day": f"{from_days(day):%Y-%m-%d}",
        "sides": _sides(reference, current),
        "missing": missing,
        "categories": shares(reference, current, told),
        "lists": recsys.counts(ranked, lists),
    }
    _write(folder / HTML, _page(snapshot, facts))
    artifacts.write_json(_json(snapshot), folder / JSON)
    return EvidentlyPage(folder / HTML, snapshot)


def _drift(before: pd.DataFrame, after: pd.DataFrame, about: Mapping[str, Any]) -> Any:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [one for one in _NUMBERS if one in before]
    shape = DataDefinition(
        categorical_columns=[one for one in before if one not in numbers], numerical_columns=numbers
    )
    old, new = (Dataset.from_pandas(frame, data_definition=shape) for frame in (before, after))
    # by default Evidently turns to p-values below 1,000 rows, which no line over time can be drawn through
    preset = DataDriftPreset(
        cat_method="jensenshannon",
        num_method="wasserstein",
        per_column_threshold={
            one: (_limit if one in PER_USER else _limit_of_shares)(before[one], after[one])
            for one in before
            if one in PER_USER or one not in numbers
        },
    )
    return Report([preset]).run(new, old, **about)


def _limit(before: pd.Series, after: pd.Series) -> float:
    """What two samples of so few users differ by chance, in standard deviations; never below Evidently's own limit."""
    fewest = min(before.notna().sum(), after.notna().sum())
    return max(_EVIDENTLYS_LIMIT, 3 * math.sqrt(2 / fewest))


def _limit_of_shares(before: pd.Series, after: pd.Series) -> float:
    """Twice the Jensen-Shannon distance that two samples of so few rows have by chance; never below Evidently's own.

    For small differences the divergence is an eighth of chi-squared's sum, whose mean is the degrees of freedom.
    """
    sizes = [int(one.notna().sum()) for one in (before, after)]
    free = pd.concat([before, after]).nunique() - 1
    return max(_EVIDENTLYS_LIMIT, 2 * math.sqrt(free / 8 * sum(1 / size for size in sizes)))


def _columns(frame: pd.DataFrame, told: Sequence[str]) -> pd.DataFrame:
    """One column of categories a tier, empty for rows of other tiers, and for categories that are not told apart.

    As one bar these would dwarf the others; the page says their share.
    """
    category = frame["category"].where(frame["category"].isin(told))
    tiers = {f"category of {tier} users": category.where(frame["tier"] == tier) for tier in TIER_NAMES}
    plain = {one: frame[one] for one in ("event", "tier")}
    return pd.DataFrame(tiers | plain | {one: frame[one] for one in _NUMBERS})


def _together(parts: list[Any]) -> Any:
    """Snapshots of different data as one: a page, a file, and a line in the workspace."""
    from evidently.core.report import Snapshot
    from evidently.core.serialization import SnapshotModel

    models = [one.to_snapshot_model() for one in parts]
    first = models[0]
    return Snapshot.load_model(
        SnapshotModel(
            report=first.report,
            name=first.name,
            timestamp=first.timestamp,
            metadata=first.metadata,
            tags=first.tags,
            metric_results={key: found for one in models for key, found in one.metric_results.items()},
            top_level_metrics=[key for one in models for key in one.top_level_metrics],
            widgets=[widget for one in models for widget in one.widgets],
            tests_widgets=[widget for one in models for widget in one.tests_widgets],
        )
    )


def _page(snapshot: Any, facts: Mapping[str, Any]) -> str:
    """Evidently's page under a line that says what was drawn; without a snapshot, a page that says so."""
    environment = Environment(
        loader=PackageLoader("monitoring.report"), autoescape=True, undefined=StrictUndefined
    )
    if snapshot is None:
        return environment.get_template("loop_empty.html.j2").render(facts)
    head, body, rest = snapshot.get_html_str(as_iframe=False).partition(_BODY)
    if not body:
        raise ArtifactError(
            f"{HTML}: Evidently's page does not begin as version 0.7.23 writes it, wanted {_BODY!r}; "
            "install the version of constraints.txt"
        )
    title = environment.from_string("<title>tierrec · window up to {{ day }}</title>").render(facts)
    banner = environment.get_template("loop_banner.html.j2").render(facts)
    return f"{head}{title}{body}{banner}{rest}".lstrip()


def _sides(reference: pd.DataFrame, current: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {"name": name, "rows": len(frame), "users": int(frame["user_id"].nunique())}
        for name, frame in (("reference", reference), ("current window", current))
    ]


def _json(snapshot: Any) -> dict[str, Any]:
    """Evidently's figures; what is no number is null."""
    if snapshot is None:
        return {"metrics": [], "tests": []}
    found: dict[str, Any] = json.loads(snapshot.json(), parse_constant=lambda _: None)
    return {**found, "metrics": [_counted_from_one(one) for one in found["metrics"]]}


def _counted_from_one(metric: dict[str, Any]) -> dict[str, Any]:
    """Figures by rank as a mapping; Evidently's own ranks of NDCG and MRR begin at 2."""
    value = metric.get("value")
    if not isinstance(value, dict) or "rank" not in value:
        return metric
    places = sorted(value["value"], key=int)
    return metric | {"value": {str(rank): value["value"][one] for rank, one in enumerate(places, start=1)}}


def _write(path: Path, page: str) -> None:
    with artifacts.replacing_file(path) as fresh:
        fresh.write_text(page, encoding="utf-8")
