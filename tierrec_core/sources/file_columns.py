"""Rows and columns of the files of a source, with errors that name the file, the row and the key of params.yaml."""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import CUT_LINE, REPEATED_HEADER
from tierrec_core.base.errors import DataError, MissingColumnError
from tierrec_core.settings.data import FilesSource, TableFormat
from tierrec_core.sources.numbers import parse_numbers
from tierrec_core.sources.tables import ends_cut, read_table, repeats_names

ANY_VALUE = "*"
RETURNED = "returned "  # before the names of the columns of pieces that came back
_ZEROS = r"[0\s:./T-]*|false|no"  # also as a date, 0000-00-00


def read_source_table(path: Path, source: FilesSource, key: str) -> pd.DataFrame:
    """All rows of a file; key of params.yaml names it in errors."""
    try:
        return read_table(path, _form(path, source))
    except DataError as error:
        raise type(error)(f"{error}; or correct {key}") from error


def is_excluded(cells: pd.Series, values: Sequence[str]) -> pd.Series:
    """Whether each cell is one of the values, in any case, [N]; ANY_VALUE is each but an empty one and zeros."""
    texts = cells.astype("string").str.lower()
    found = texts.isin([value.lower() for value in values])
    if ANY_VALUE in values:
        found |= texts.notna() & ~texts.fillna("").str.fullmatch(_ZEROS)
    return found.fillna(False).astype(bool)


def _form(path: Path, source: FilesSource) -> TableFormat:
    """How a file is written: as the source says, but for what the first entry of formats that matches says."""
    own = next((form for pattern, form in source.formats.items() if path.match(pattern)), TableFormat())
    common = {name: getattr(source, name) for name in TableFormat.model_fields}
    return TableFormat.model_validate(common | own.model_dump(exclude_unset=True))


def time_pattern(path: Path, source: FilesSource) -> str | None:
    """The given strptime pattern of a file's times, if there is one."""
    return _form(path, source).time_format


def row_faults(frame: pd.DataFrame, path: Path, source: FilesSource) -> pd.Series:
    """What a row is that is no event, such as CUT_LINE, [N]; missing for all others."""
    faults = pd.Series(pd.NA, frame.index, "string").mask(repeats_names(frame), REPEATED_HEADER)
    if ends_cut(path, _form(path, source)):
        faults.iloc[-1] = CUT_LINE
    return faults


def require_column(frame: pd.DataFrame, column: str, path: Path, key: str) -> None:
    """Raise MissingColumnError where the column is missing, with those that were found; key of params.yaml names it."""
    if column in frame:
        return
    hint = " (one column only: is source.separator right?)" if len(frame.columns) == 1 else ""
    raise MissingColumnError(
        f"{path}: column {column!r} is missing; found {', '.join(map(str, frame.columns))}{hint}\n"
        f"name the column in {key} of params.yaml"
    )


def number_column(values: pd.Series, source: FilesSource, path: Path, column: str, key: str) -> pd.Series:
    """Numbers, [N]; NaN, which the data gate rejects, for a cell that is none, where these are few."""
    numbers, empty = parse_numbers(values, _form(path, source).decimal)
    bad = pd.Series(~empty & np.isnan(numbers) & (values.astype("string").str.lower() != "nan"), values.index)
    reject_most(values, bad, path, column, f"is not a number; correct it, source.decimal or {key}")
    return pd.Series(pd.arrays.FloatingArray(numbers, empty), values.index)


def reject_most(values: pd.Series, bad: pd.Series, path: Path, column: str, wanted: str) -> None:
    """Raise DataError where at least half of the filled cells are bad, so that the column is the wrong one."""
    bad = bad.fillna(False)
    if mostly(bad, values):
        row = int(np.flatnonzero(bad.to_numpy(dtype=bool))[0])
        raise DataError(
            f"{path}: column {column!r}, row {row + 1}: {str(values.iloc[row])[:80]!r} {wanted} ({bad.sum()} such rows)"
        )


def mostly(bad: pd.Series, values: pd.Series) -> bool:
    """Whether at least half of the filled cells are bad."""
    return bool(bad.any() and bad.sum() >= values.notna().sum() / 2)


def without_returned(events: pd.DataFrame, source: FilesSource, path: Path) -> pd.DataFrame:
    """The events with the pieces that did not come back, and their part of the value; without those that all did.

    A price of one piece stays as it is.
    """
    names = [name for name in source.returned if RETURNED + name in events]
    counts = [number_column(events.pop(RETURNED + name), source, path, name, "source.returned") for name in names]
    if not counts or "quantity" not in events:
        return events
    returned = reduce(pd.Series.add, (count.abs().fillna(0.0) for count in counts))
    is_lowered = ((returned > 0) & (events["quantity"] > 0)).fillna(False)
    share = ((events["quantity"] - returned) / events["quantity"]).clip(0, 1).where(is_lowered, 1.0)
    lowered = ("quantity",) if source.unit_price else ("quantity", "value")
    return events.assign(**{name: events[name] * share for name in lowered if name in events})[share > 0]
