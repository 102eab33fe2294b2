"""Columns of the catalogue: nullable text, numbers, booleans or times."""

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tierrec_core.base.contracts import IntArray
from tierrec_core.base.errors import DataError

TEXT, NUMBER, BOOLEAN, TIME = "string[pyarrow]", "Float64", "boolean", "datetime64[us, UTC]"
NAMES = {TEXT: "text", NUMBER: "a number", BOOLEAN: "true or false", TIME: "a time such as 2024-01-31T12:00:00Z"}
COLUMN_TYPES = {"available_from": TIME, "available_until": TIME, "stock": NUMBER, "on_promotion": BOOLEAN}
FIELD_TYPES = COLUMN_TYPES | {"title": TEXT, "category": TEXT, "brand": TEXT, "price": NUMBER}
_INFERRED = {
    "boolean": BOOLEAN,
    "date": TIME,
    "datetime": TIME,
    "datetime64": TIME,
    "decimal": NUMBER,
    "empty": TEXT,
    "floating": NUMBER,
    "integer": NUMBER,
    "mixed-integer-float": NUMBER,
    "string": TEXT,
}
_MAX_CHUNKS = 16
_FEW = 16


def to_column_type(values: pd.Series, kind: str | None, name: str) -> pd.Series:
    """Convert a column to one of the four types, by default the type inferred from its values.

    A column of other values, such as vectors, becomes an object column. Raises DataError for a value that does not
    fit the kind.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    current = kind_of(values)
    inferred = current if current in NAMES else _INFERRED.get(pd.api.types.infer_dtype(values, skipna=True))
    kind = kind or inferred
    if kind is None:
        return values.astype(object)
    if isinstance(values.dtype, np.dtype | pd.DatetimeTZDtype) and values.dtype.kind == "M":
        values = pd.to_datetime(values, utc=True)
    elif kind == TIME or (kind != inferred and not values.dropna().isin([False, True]).all()):
        pairs = zip(values, values.isna(), strict=True)
        cells = [None if empty else _cell(value, kind, name) for value, empty in pairs]
        return pd.Series(_array(cells, kind), index=values.index)
    return pd.Series(pd.to_numeric(values) if kind == NUMBER else values, dtype=_dtype(kind))


def kind_of(values: pd.Series) -> str:
    """The column's type among the four; `object` for anything else."""
    return next((kind for kind in NAMES if values.dtype == kind), "object")


def add_columns(frame: pd.DataFrame, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Add a null column for each attribute that only the rows have."""
    added = {}
    for name in sorted({name for row in rows for name in row} - set(frame)):
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            kind = COLUMN_TYPES.get(name) or _new_kind(values[0], name)
            added[name] = pd.array([None] * len(frame), dtype=_dtype(kind))
    return with_columns(frame, added) if added else frame


def with_columns(frame: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Add or replace columns; the others are shared, not copied. Unlike `assign`, it takes any name, such as self."""
    result = frame.copy(deep=False)
    for name, values in columns.items():
        result[name] = values
    return result


def check_rows(rows: Iterable[Mapping[str, Any]], kinds: Mapping[str, str] = FIELD_TYPES) -> frozenset[str]:
    """Raise DataError for a value that does not fit its column; a new column has the kind of its first value.

    kinds: of the catalogue's columns by name. Returns the names of all columns.
    """
    found = dict(kinds)
    for row in rows:
        for name, value in row.items():
            if value is not None:
                kind = found.setdefault(name, COLUMN_TYPES.get(name) or _new_kind(value, name))
                _cell(value, kind, f"{row['item_id']}: {name}")
    return frozenset(found)


def append_rows(frame: pd.DataFrame, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Append the rows. Raises DataError for a value that does not fit its column."""
    columns = {name: _posted(rows, name, kind_of(frame[name])) for name in map(str, frame)}
    extended = pd.concat([frame, pd.DataFrame(columns)], ignore_index=True)
    texts = [name for name in columns if kind_of(extended[name]) == TEXT]
    return with_columns(extended, {name: _rechunked(extended[name]) for name in texts})


def update_rows(
    frame: pd.DataFrame, positions: IntArray, rows: Sequence[Mapping[str, Any]]
) -> tuple[pd.DataFrame, list[str]]:
    """Overwrite attributes of the rows at these positions [N]; returns the names of the columns that this changes, too.

    Unchanged columns are shared, not copied. Raises DataError for a value that does not fit its column.
    """
    changed: dict[str, Any] = {}
    for name in map(str, frame):
        numbers = [number for number, row in enumerate(rows) if name in row and name != "item_id"]
        if not numbers:
            continue
        kind, before = kind_of(frame[name]), frame[name].array
        cells = _cells([rows[number] for number in numbers], name, kind)
        if len(cells) <= _FEW and all(
            _is_same(before[at], cell) for at, cell in zip(positions[numbers], cells, strict=True)
        ):
            continue  # most posts repeat most attributes; to compare them as arrays takes ten times as long
        values = _array(cells, kind)
        if not values.equals(before.take(positions[numbers])):
            changed[name] = before.copy()
            changed[name][positions[numbers]] = values
    return (with_columns(frame, changed) if changed else frame), list(changed)


def _posted(rows: Sequence[Mapping[str, Any]], name: str, kind: str) -> Any:
    """The rows' values of one attribute; null for rows without it."""
    return _array(_cells(rows, name, kind), kind)


def _cells(rows: Sequence[Mapping[str, Any]], name: str, kind: str) -> list[Any]:
    return [_cell(row.get(name), kind, f"{row['item_id']}: {name}") for row in rows]


def _is_same(before: Any, cell: Any) -> bool:
    return cell is None if before is pd.NA else bool(cell is not None and before == cell)


def _array(cells: Sequence[Any], kind: str) -> Any:
    if kind == TIME:
        return pd.Series(np.array(cells, "datetime64[us]")).dt.tz_localize("UTC").array
    return pd.array(cells, dtype=_dtype(kind))


def _dtype(kind: str) -> Any:
    return pd.api.types.pandas_dtype(kind)


def _cell(value: Any, kind: str, where: str) -> Any:
    """One value converted to the kind; NaN becomes None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if kind == TIME:
        return _utc_time(value, where)
    if _posted_kind(value) != kind:
        expected = NAMES.get(kind, "null, since this attribute cannot be posted")
        raise DataError(f"items: {where} is {value!r:.80}, wanted {expected}")
    return value


def _posted_kind(value: Any) -> str | None:
    """The type of a posted value other than a time; None if it has none of the types."""
    if isinstance(value, bool):
        return BOOLEAN
    with contextlib.suppress(OverflowError):  # an integer beyond a float
        if isinstance(value, Real) and math.isfinite(value):
            return NUMBER
    return TEXT if isinstance(value, str) else None


def _new_kind(value: Any, name: str) -> str:
    """The type of a new column by its first value."""
    kind = _posted_kind(value)
    if kind is None:
        raise DataError(f"items: {name} is {value!r:.80}, wanted text, a number, true or false")
    return kind


def _utc_time(value: Any, where: str) -> datetime:
    """A time in UTC without time zone; one without an offset is taken as UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, date) and not isinstance(moment, datetime):
            moment = datetime.combine(moment, time())
        return (moment.astimezone(UTC) if moment.tzinfo else moment).replace(tzinfo=None)
    except (AttributeError, ValueError, OverflowError) as error:
        raise DataError(f"items: {where} is {value!r:.80}, wanted {NAMES[TIME]}") from error


def _rechunked(texts: pd.Series) -> Any:
    """Combine the chunks of a column that was appended to many times, because reading many chunks is slow."""
    chunks = pa.array(texts.array)
    if not isinstance(chunks, pa.ChunkedArray) or chunks.num_chunks <= _MAX_CHUNKS:
        return texts
    return pd.array(chunks.combine_chunks(), dtype=_dtype(TEXT))
