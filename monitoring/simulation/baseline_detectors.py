"""Baseline drift detectors: the population stability index, and Evidently's drift preset with its defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import to_days

_EMPTY_SHARE = 1e-4  # stands for an empty category, as is usual for this index
CATEGORIES = ("category", "event", "channel")
NUMBERS = ("price", "value", "quantity")


def population_stability_index(before: IntArray | FloatArray, after: IntArray | FloatArray) -> float:
    """PSI of two sets of counts over the same categories, [C] each; usual limits are .1 and .2."""
    shares = [np.maximum(counts / max(counts.sum(), 1), _EMPTY_SHARE) for counts in (before, after)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def detector_frame(
    events: pd.DataFrame, items: pd.DataFrame, start: float, end: float, max_rows: int, seed: int
) -> pd.DataFrame:
    """The window's EVENTS joined with ITEMS, at most max_rows: whole users in random order."""
    day = to_days(events["timestamp"])
    window = events[(day >= start) & (day < end)]
    size = window["user_id"].value_counts().sort_index()
    size = size.sample(frac=1.0, random_state=seed)
    window = window[window["user_id"].isin(size.index[size.cumsum() <= max_rows])]
    window_items = items.drop_duplicates("item_id").set_index("item_id").reindex(window["item_id"])
    columns = {name: window[name].astype(object).to_numpy() for name in ("event", "channel")}
    columns["category"] = window_items["category"].astype(object).to_numpy()
    numbers = {"price": window_items["price"], "value": window["value"], "quantity": window["quantity"]}
    return pd.DataFrame(
        columns | {name: column.to_numpy(dtype=float, na_value=np.nan) for name, column in numbers.items()}
    )


@dataclass(frozen=True)
class EvidentlyPreset:
    """Result of Evidently's preset. dataset: whether at least half of the columns drifted; columns: which did."""

    dataset: bool
    columns: frozenset[str]

    @classmethod
    def of(cls, before: pd.DataFrame, after: pd.DataFrame) -> Self:
        """Run the preset with all defaults on two frames; columns that are empty in one of them are left out."""
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        filled = [name for name in before if before[name].notna().any() and after[name].notna().any()]
        definition = DataDefinition(
            categorical_columns=[name for name in filled if name in CATEGORIES],
            numerical_columns=[name for name in filled if name in NUMBERS],
        )
        current, reference = (Dataset.from_pandas(frame[filled], definition) for frame in (after, before))
        metrics = Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]
        (total,) = (metric for metric in metrics if "drift_share" in metric["config"])
        return cls(
            total["value"]["share"] >= total["config"]["drift_share"],
            frozenset(
                metric["config"]["column"] for metric in metrics if "column" in metric["config"] and _drifted(metric)
            ),
        )


def _drifted(metric: Mapping[str, Any]) -> bool:
    """Whether a distance reaches its threshold, or a p-value, which Evidently uses for few rows, is below it."""
    value, threshold = float(metric["value"]), float(metric["config"]["threshold"])
    return value < threshold if "p_value" in str(metric["config"]["method"]) else value >= threshold
