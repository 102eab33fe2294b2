"""Infers the columns of users and items by how their values recur, where no name says it.

Events of a user come in bursts: the next is often minutes later. Unlike sessions, users also return on other days.
An item has several users, and a user several items; orders and attributes of users do not.
"""

import numpy as np
import pandas as pd

from tierrec_core.sources.schema_inference.columns.names import is_exact, name_score
from tierrec_core.sources.schema_inference.columns.packed import packed_cell
from tierrec_core.sources.schema_inference.columns.roles import (
    Guess,
    describe_content,
    is_amount,
    is_free_text,
    is_item_attribute,
    is_time_like,
)
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.time_formats import TimeFormat, parse_times

_BURST = pd.Timedelta(minutes=30)
_DAY = pd.Timedelta(days=1)
_MAX_DISTINCT_SHARE = 0.5
_MIN_DISTINCT, _MIN_RATIO = 10, 2
_MIN_RETURNING = 0.1
_MIN_BURSTS, _MIN_OF_CHANCE = 0.05, 2
_MIN_SHARED = 0.5
_SEED = 0
_OTHER_PARTS = ("session", "quantity", "value", "price", "currency", "channel", "split")
_OTHERS = ("event", "category", "brand")


def find_user_column(preview: FilePreview, time: str, time_format: TimeFormat, assigned: set[str]) -> Guess | None:
    """The column whose values come in bursts, more than by chance, and return on other days, if there is one."""
    moments = parse_times(preview.sample[time], time_format, "UTC")
    columns = [column for column in _recurring(preview, assigned) if not is_free_text(preview.sample[column].dropna())]
    scores = {column: _burstiness(preview.sample[column], moments) for column in columns}
    best = max(scores, key=scores.__getitem__, default=None)
    if best is None or scores[best] <= 0:
        return None
    evidence = f"comes in bursts, next row within {_BURST.seconds // 60} min for {scores[best]:.0%} of rows"
    return Guess("user", best, f"{evidence}; {describe_content(preview, best)}")


def find_item_column(preview: FilePreview, user: str, assigned: set[str]) -> Guess | None:
    """The column with the most values of those that several users share, if no other one has nearly as many."""
    counts = {
        column: preview.sample[column].nunique()
        for column in _recurring(preview, assigned)
        if min(_shared(preview, column, user), _shared(preview, user, column)) >= _MIN_SHARED
    }
    best = max(counts, key=counts.__getitem__, default=None)
    if best is None:
        return None
    rivals = [name for name, num in counts.items() if name != best and num * _MIN_RATIO > counts[best]]
    if not all(is_item_attribute(preview, best, name) for name in rivals):
        return None
    shared = f"{_shared(preview, best, user):.0%} of its values have several users"
    return Guess("item", best, f"most recurring values; {shared}; {describe_content(preview, best)}")


def _recurring(preview: FilePreview, assigned: set[str]) -> list[str]:
    """Columns with many values, mostly repeated, that are neither amounts nor times, nor called as other roles are."""
    return [
        column
        for column in preview.columns
        if column not in assigned
        and _MIN_DISTINCT <= preview.sample[column].nunique() <= _MAX_DISTINCT_SHARE * preview.sample[column].count()
        and not any(name_score(role, column) for role in _OTHER_PARTS)
        and not any(is_exact(name_score(role, column)) for role in _OTHERS)
        and not is_time_like(preview, column)
        and not is_amount(preview, column)
        and not packed_cell(preview.sample[column])
    ]


def _shared(preview: FilePreview, column: str, other: str) -> float:
    """The share of the column's values, of those in several rows, that have several values of the other column."""
    groups = preview.sample[[column, other]].dropna().astype("string").groupby(column)[other]
    return float((groups.nunique()[groups.size() > 1] > 1).mean())


def _burstiness(values: pd.Series, moments: pd.Series) -> float:
    """Share of rows in bursts; 0 where few values return on another day, or as many rows were in bursts by chance."""
    is_filled = values.notna() & moments.notna()
    rows = pd.DataFrame({"value": values.astype("string"), "moment": moments})[is_filled]
    span = rows.groupby("value")["moment"].agg(np.ptp)
    if (span > _DAY).mean() < _MIN_RETURNING:
        return 0.0
    share = _in_bursts(rows)
    shuffled = np.random.default_rng(_SEED).permutation(rows["value"].to_numpy())
    chance = _in_bursts(rows.assign(value=shuffled))
    return share if share >= max(_MIN_BURSTS, _MIN_OF_CHANCE * chance) else 0.0


def _in_bursts(rows: pd.DataFrame) -> float:
    """Share of rows followed by one of the same value within 30 minutes."""
    rows = rows.sort_values(["value", "moment"])
    gap = rows["moment"].diff().where(rows["value"].eq(rows["value"].shift()))
    return float((gap <= _BURST).mean())
