"""Who and what, told by how values recur: for logs whose column names say nothing.

People act in bursts: the next row of the same person is often minutes away, and yet they come back on other days, which
a visit does not. Things have the most values of all columns that recur.
"""

import numpy as np
import pandas as pd

from tierrec_core.sources import time_formats
from tierrec_core.sources.schema_inference.column_roles import Guess, describe_content
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.time_formats import TimeFormat

_BURST = pd.Timedelta(minutes=30)
_DAY = pd.Timedelta(days=1)
_MAX_DISTINCT_SHARE = 0.5
_MIN_DISTINCT = 10
_MIN_RETURNING = 0.1


def find_user_column(peek: FilePreview, time: str, clock: TimeFormat, taken: set[str]) -> Guess | None:
    """The column whose values come in bursts and come back on other days; None where none does."""
    moments = time_formats.parse_times(peek.sample[time], clock, "UTC")
    scores = {column: _burstiness(peek.sample[column], moments) for column in _recurring(peek, taken)}
    best = max(scores, key=lambda column: scores[column], default=None)
    if best is None or scores[best] <= 0:
        return None
    evidence = f"comes in bursts, next row within {_BURST.seconds // 60} min for {scores[best]:.0%} of rows"
    return Guess("user", best, f"{evidence}; {describe_content(peek, best)}")


def find_item_column(peek: FilePreview, taken: set[str]) -> Guess | None:
    """Of the columns that recur, the one with the most values; None where none recurs."""
    counts = {column: peek.sample[column].nunique() for column in _recurring(peek, taken)}
    best = max(counts, key=lambda column: counts[column], default=None)
    return None if best is None else Guess("item", best, f"recurs most variedly; {describe_content(peek, best)}")


def _recurring(peek: FilePreview, taken: set[str]) -> list[str]:
    """Columns that may hold ids: many values, most of them more than once, and no fractions."""
    return [column for column in peek.columns if column not in taken and _may_be_ids(peek.sample[column])]


def _may_be_ids(values: pd.Series) -> bool:
    filled = values.dropna()
    numbers = pd.to_numeric(filled, errors="coerce")
    whole = bool(numbers.isna().any() or (numbers % 1 == 0).all())
    return whole and _MIN_DISTINCT <= filled.nunique() <= _MAX_DISTINCT_SHARE * len(filled)


def _burstiness(values: pd.Series, moments: pd.Series) -> float:
    """Share of rows that the next row of the same value follows at once; 0 where values never come back later."""
    rows = pd.DataFrame({"value": values.astype(str), "moment": moments})[values.notna() & moments.notna()]
    rows = rows.sort_values(["value", "moment"])
    gap = rows["moment"].diff().where(rows["value"].eq(rows["value"].shift()))
    span = rows.groupby("value")["moment"].agg(np.ptp)
    if (span > _DAY).mean() < _MIN_RETURNING:
        return 0.0
    return float((gap <= _BURST).mean())
