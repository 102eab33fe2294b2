"""Evidently's page of a window beside the reference's: category shares by tier, kinds of event, prices and money."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tierrec_core import artifacts
from tierrec_core.contracts import FloatArray
from tierrec_core.interactions import from_days, to_days
from tierrec_core.tiers import TIER_NAMES

HTML, JSON = "drift.html", "drift.json"
_NOBODY, _UNKNOWN, _OTHER = "no tier", "unknown", "other"
_CATEGORIES = 20  # told apart on the page; more make a bar chart that nobody can read
_NUMBERS = ("price", "value")


def frames(
    events: pd.DataFrame,
    items: pd.DataFrame,
    tier_of: Mapping[str, str],
    start: float,
    end: float,
    rows: int,
    seed: int,
) -> pd.DataFrame:
    """EVENTS from day start to before day end with the item's category and price and the user's tier.

    Whole users are drawn until about `rows` rows are reached, so that nobody's habits are cut in two.
    """
    day = to_days(events["timestamp"])
    window = events[(day >= start) & (day < end)]
    described = items.drop_duplicates("item_id").set_index("item_id")[["category", "price"]]
    found = _drawn(window, rows, seed).join(described, on="item_id")
    return pd.DataFrame(
        {
            "tier": found["user_id"].map(tier_of).fillna(_NOBODY).astype(str).to_numpy(),
            "category": found["category"].fillna(_UNKNOWN).astype(str).to_numpy(),
            "event": found["event"].astype(str).to_numpy(),
            "price": _numbers(found["price"]),
            "value": _numbers(found["value"]),
        }
    )


def write(reference: pd.DataFrame, current: pd.DataFrame, folder: Path, day: float) -> tuple[Path, Any]:
    """Write drift.html and drift.json into the folder; the page's path, and Evidently's snapshot for the workspace.

    reference, current: what `frames` made; day: of the snapshot, since 1970 UTC
    """
    _silence()
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    before, after = _columns(reference, current)
    numbers = [name for name in _NUMBERS if before[name].notna().any() and after[name].notna().any()]
    kinds = [
        name
        for name in before
        if name not in _NUMBERS and before[name].notna().any() and after[name].notna().any()
    ]
    shape = DataDefinition(categorical_columns=kinds, numerical_columns=numbers)
    old, new = (
        Dataset.from_pandas(frame[[*kinds, *numbers]], data_definition=shape) for frame in (before, after)
    )
    snapshot = Report([DataDriftPreset()]).run(new, old, timestamp=from_days(day).to_pydatetime())
    folder.mkdir(parents=True, exist_ok=True)
    with artifacts.replacing_file(folder / HTML) as fresh:
        snapshot.save_html(str(fresh))
    with artifacts.replacing_file(folder / JSON) as fresh:
        snapshot.save_json(str(fresh))
    return folder / HTML, snapshot


def _columns(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One column of categories a tier, empty for rows of other tiers; rare categories are one."""
    told = reference["category"].value_counts().index[:_CATEGORIES]
    made = []
    for frame in (reference, current):
        category = frame["category"].where(frame["category"].isin(told), _OTHER)
        tiers = {f"category of {name} users": category.where(frame["tier"] == name) for name in TIER_NAMES}
        made.append(
            pd.DataFrame({"event": frame["event"], **tiers} | {name: frame[name] for name in _NUMBERS})
        )
    return made[0], made[1]


def _drawn(window: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    if len(window) <= rows:
        return window
    counts = window["user_id"].value_counts().sort_index()
    order = np.random.default_rng(seed).permutation(len(counts))
    chosen = order[np.cumsum(counts.to_numpy()[order]) <= rows]
    return window[window["user_id"].isin(counts.index[chosen])]


def _numbers(values: pd.Series) -> FloatArray:
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _silence() -> None:
    os.environ.setdefault("DO_NOT_TRACK", "1")
