"""Columns of the catalogue: text, numbers, truth values or moments, each with its empty places."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]

from tierrec_core.base.contracts import IntArray
from tierrec_core.base.errors import DataError

TEXT, NUMBER, TRUTH, TIME = "string[pyarrow]", "Float64", "boolean", "datetime64[us, UTC]"
NAMES = {TEXT: "text", NUMBER: "a number", TRUTH: "true or false", TIME: "a moment like 2024-01-31T12:00:00Z"}
MEANINGFUL = {"available_from": TIME, "available_until": TIME, "stock": NUMBER, "on_promotion": TRUTH}
_INFERRED = {
    "boolean": TRUTH,
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


def to_column_type(values: pd.Series, kind: str | None, name: str) -> pd.Series:
    """The column in one of our types; without a kind it is told by what the column holds.

    A column of anything else, such as vectors, stays as it is. Raises DataError when it is not of the kind asked for.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    found = _INFERRED.get(pd.api.types.infer_dtype(values, skipna=True))
    found = kind_of(values) if kind_of(values) in NAMES else found
    kind = kind or found
    if kind is None:
        return values.astype(object)
    if isinstance(values.dtype, np.dtype | pd.DatetimeTZDtype) and values.dtype.kind == "M":
        values = pd.to_datetime(values, utc=True)
    elif kind == TIME or (kind != found and not values.dropna().isin([False, True]).all()):
        pairs = zip(values, values.isna(), strict=True)
        cells = [None if empty else _cell(value, kind, name) for value, empty in pairs]
        return pd.Series(_array(cells, kind), index=values.index)
    return pd.Series(pd.to_numeric(values) if kind == NUMBER else values, dtype=_dtype(kind))


def kind_of(values: pd.Series) -> str:
    """Which of our types a column has; `object` for anything else."""
    return next((kind for kind in NAMES if values.dtype == kind), "object")


def add_columns(frame: pd.DataFrame, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The frame with an empty column for each attribute that only the rows have."""
    fresh = {}
    for name in sorted({name for row in rows for name in row} - set(frame)):
        given = [row[name] for row in rows if row.get(name) is not None]
        if given:
            kind = MEANINGFUL.get(name) or _kind(given[0], name)
            fresh[name] = pd.array([None] * len(frame), dtype=_dtype(kind))
    return frame.assign(**fresh) if fresh else frame


def append_rows(frame: pd.DataFrame, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The frame with the rows after its own. Raises DataError when a value is not what its column holds."""
    columns = {name: _posted(rows, name, kind_of(frame[name])) for name in map(str, frame)}
    grown = pd.concat([frame, pd.DataFrame(columns)], ignore_index=True)
    texts = [name for name in columns if kind_of(grown[name]) == TEXT]
    return grown.assign(**{name: _in_one_piece(grown[name]) for name in texts})


def update_rows(frame: pd.DataFrame, places: IntArray, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The frame with each row's attributes at its place; a column in which nothing changes is shared, not copied.

    Raises DataError when a value is not what its column holds.
    """
    columns: dict[str, Any] = {name: frame[name].array for name in map(str, frame)}
    for name in columns.keys() & {name for row in rows for name in row}:
        at = [number for number, row in enumerate(rows) if name in row]
        fresh = _posted([rows[number] for number in at], name, kind_of(frame[name]))
        if not pd.Series(fresh).equals(pd.Series(columns[name].take(places[at]))):
            columns[name] = columns[name].copy()
            columns[name][places[at]] = fresh
    return pd.DataFrame(columns, copy=False)


def _posted(rows: Sequence[Mapping[str, Any]], name: str, kind: str) -> Any:
    """What the rows say of one attribute; nothing where they do not name it."""
    return _array([_cell(row.get(name), kind, f"{row['item_id']}: {name}") for row in rows], kind)


def _array(cells: Sequence[Any], kind: str) -> Any:
    if kind == TIME:
        return pd.Series(np.array(cells, "datetime64[us]")).dt.tz_localize("UTC").array
    return pd.array(cells, dtype=_dtype(kind))


def _dtype(kind: str) -> Any:
    return pd.api.types.pandas_dtype(kind)


def _cell(value: Any, kind: str, where: str) -> Any:
    """One value as the kind wants it; what is empty becomes None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if kind == TIME:
        return _moment(value, where)
    fits = {TEXT: isinstance(value, str), TRUTH: isinstance(value, bool), NUMBER: _is_number(value)}
    if not fits.get(kind, False):
        wanted = NAMES.get(kind, "null, since this attribute cannot be posted")
        raise DataError(f"items: {where} is {value!r:.80}, wanted {wanted}")
    return value


def _kind(value: Any, name: str) -> str:
    """Our type for an attribute that was posted for the first time."""
    if isinstance(value, bool):
        return TRUTH
    if _is_number(value):
        return NUMBER
    if isinstance(value, str):
        return TEXT
    raise DataError(f"items: {name} is {value!r:.80}, wanted text, a number, true or false")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _moment(value: Any, where: str) -> datetime:
    """A moment in UTC, without its offset; one that names no offset is in UTC already."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, date) and not isinstance(moment, datetime):
            moment = datetime.combine(moment, time())
        return (moment.astimezone(UTC) if moment.tzinfo else moment).replace(tzinfo=None)
    except (AttributeError, ValueError, OverflowError) as error:
        raise DataError(f"items: {where} is {value!r:.80}, wanted {NAMES[TIME]}") from error


def _in_one_piece(texts: pd.Series) -> Any:
    """The same texts; a column that was appended to many times is put together again, since reading pieces is slow."""
    pieces = pa.array(texts.array)
    if not isinstance(pieces, pa.ChunkedArray) or pieces.num_chunks <= _MAX_CHUNKS:
        return texts
    return pd.array(pieces.combine_chunks(), dtype=_dtype(TEXT))
