"""What others alarm by: the population stability index, and Evidently's drift preset out of the box."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import to_days

_EMPTY = 1e-4  # share that stands for an empty category, as is usual for this index
CATEGORIES = ("category", "event", "channel")
NUMBERS = ("price", "value", "quantity")


def psi(before: IntArray | FloatArray, after: IntArray | FloatArray) -> float:
    """Population stability index of two sets of counts over the same categories, [C] each; .1 or .2 alarms."""
    shares = [np.maximum(counts / max(counts.sum(), 1), _EMPTY) for counts in (before, after)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def frame(
    events: pd.DataFrame, items: pd.DataFrame, start: float, end: float, rows: int, seed: int
) -> pd.DataFrame:
    """The window's EVENTS with what is known of their items, at most so many rows: whole users, drawn at random."""
    day = to_days(events["timestamp"])
    window = events[(day >= start) & (day < end)]
    size = window["user_id"].value_counts().sort_index()
    size = size.sample(frac=1.0, random_state=seed)
    drawn = size.index[size.cumsum() <= rows]
    window = window[window["user_id"].isin(drawn)]
    known = items.drop_duplicates("item_id").set_index("item_id").reindex(window["item_id"])
    columns = {name: window[name].astype(object).to_numpy() for name in ("event", "channel")}
    columns["category"] = known["category"].astype(object).to_numpy()
    numbers = {"price": known["price"], "value": window["value"], "quantity": window["quantity"]}
    return pd.DataFrame(
        columns | {name: one.to_numpy(dtype=float, na_value=np.nan) for name, one in numbers.items()}
    )


@dataclass(frozen=True)
class EvidentlyPreset:
    """What Evidently's preset says: dataset, that at least half of the columns drifted; and which columns did."""

    dataset: bool
    columns: frozenset[str]

    @classmethod
    def of(cls, before: pd.DataFrame, after: pd.DataFrame) -> Self:
        """Hold two frames against each other with every default; columns without a value are left out."""
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        full = [name for name in before if before[name].notna().any() and after[name].notna().any()]
        definition = DataDefinition(
            categorical_columns=[name for name in full if name in CATEGORIES],
            numerical_columns=[name for name in full if name in NUMBERS],
        )
        current, reference = (Dataset.from_pandas(one[full], definition) for one in (after, before))
        found = Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]
        (whole,) = (one for one in found if "drift_share" in one["config"])
        return cls(
            whole["value"]["share"] >= whole["config"]["drift_share"],
            frozenset(
                one["config"]["column"] for one in found if "column" in one["config"] and _drifted(one)
            ),
        )


def _drifted(metric: Mapping[str, Any]) -> bool:
    """A distance drifts from its threshold on, a p-value below it: Evidently takes these for windows of few rows."""
    value, threshold = float(metric["value"]), float(metric["config"]["threshold"])
    return value < threshold if "p_value" in str(metric["config"]["method"]) else value >= threshold
