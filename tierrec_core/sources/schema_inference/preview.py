"""Preview of a file: its format, columns and a sample of its rows, and the formats of its times."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, FloatArray
from tierrec_core.base.errors import EmptyDataError, UnreadableFileError
from tierrec_core.settings import TableFormat
from tierrec_core.sources.numbers import parse_numbers
from tierrec_core.sources.schema_inference.format_detection import detect_sample
from tierrec_core.sources.tables import read_table, repeats_names, table_kind
from tierrec_core.sources.time_formats import (
    MONTH_NAME,
    PLAUSIBLE_TIMES,
    TIME_FORMATS,
    TimeFormat,
    given_time_format,
    likeliest_format,
    parse_times,
    plausible_shares,
)
from tierrec_core.sources.times.clocks import with_time_of_day

MAX_ROWS = 200_000
_MIN_PARSED = 0.95
_TIME_ROWS, _FEW_ROWS = 1000, 40
_MAX_TEXT = 40
_DATA = re.compile(r"[\d.]*\d[\d.]*|\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")  # a number, or a moment
# Of any time: a year or a number since 1970, three numbers, a month.
_DIGITS = rf"\d{{4}}|\d\D+\d+\D+\d|{MONTH_NAME}\D{{0,12}}\d"


@dataclass(frozen=True)
class LogExtent:
    """First and last time of a log, the time before which `share` of its rows lie, and its number of rows."""

    first: pd.Timestamp
    cut: pd.Timestamp
    last: pd.Timestamp
    rows: int


_DATE_SHAPE = re.compile(r"9{1,4}[./-]9{1,2}[./-]9{1,4}")
_FEW, _MIN_ALIKE = 300, 0.95


@dataclass(frozen=True)
class FilePreview:
    """Rows from the whole file, as text for CSV, and their number.

    nested: columns of lists and the like, left out; num_headers: sampled rows that repeat the names, left out
    """

    path: Path
    form: TableFormat
    sample: pd.DataFrame
    num_rows: int
    nested: tuple[str, ...] = ()
    num_headers: int = 0

    @classmethod
    def at(cls, path: Path, given: Mapping[str, str]) -> Self:
        """Read MAX_ROWS rows at most. given: settings of TableFormat.

        Raises UnreadableFileError when there are none or they cannot be read.
        """
        try:
            form, rows, num_rows = detect_sample(path, given, MAX_ROWS)
        except EmptyDataError as error:
            raise UnreadableFileError(
                f"{error}; wanted a file of CSV, JSON lines or Parquet with column names and rows"
            ) from error
        sample = rows[~repeats_names(rows)].reset_index(drop=True)
        cells = _written_as_below(sample) if table_kind(path) == "CSV" else []
        for name in map(str, sample.columns):
            if table_kind(path) == "CSV" and '{"' in name:
                raise UnreadableFileError(
                    f"{path}: the first line has {name[:_MAX_TEXT]!r}, wanted a line of column names; where rows "
                    "are JSON, write the objects alone, one a line, to a file with a name that ends with .jsonl"
                )
            if _DATA.fullmatch(name) or name in cells:
                raise UnreadableFileError(
                    f"{path}: the first line has {name!r}, wanted a line of column names; add one"
                )
        nested = tuple(str(name) for name in sample if _is_nested(sample[name].dropna()))
        num_names = len(rows) - len(sample)
        return cls(path, form, sample.drop(columns=list(nested)), num_rows - num_names, nested, num_names)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in the order of the file."""
        return [str(name) for name in self.sample.columns]

    @property
    def time_format(self) -> str | None:
        """The given strptime pattern of times, if there is one."""
        return self.form.time_format

    @cached_property
    def time_formats(self) -> dict[str, TimeFormat]:
        """The format of each column that holds times."""
        formats = TIME_FORMATS if self.time_format is None else [given_time_format(self.time_format)]
        sample = self.sample.iloc[:: max(1, len(self.sample) // _TIME_ROWS)]
        filled = {str(name): few_filled(sample[name]) for name in sample}
        names = [
            name for name in filled if self.time_format or filled[name].astype("string").str.contains(_DIGITS).any()
        ]
        if not names:
            return {}
        few = plausible_shares(pd.DataFrame({name: filled[name] for name in names}), formats)
        found = {}
        for name in names:
            likely = [one for one, share in zip(formats, few.loc[name].to_numpy(), strict=True) if share >= 1 / 2]
            shares = plausible_shares(sample[[name]], likely).loc[name].to_numpy() if likely else np.zeros(0)
            if shares.size and shares.max() >= _MIN_PARSED:
                found[name] = likeliest_format(sample[name], likely, shares)
        return found

    def numbers(self, column: str) -> tuple[FloatArray, BoolArray]:
        """The numbers of a column, NaN for what is none, and which cells are empty or say so, [N] each."""
        if column not in self._numbers:
            self._numbers[column] = parse_numbers(self.sample[column], self.form.decimal)
        return self._numbers[column]

    @cached_property
    def _numbers(self) -> dict[str, tuple[FloatArray, BoolArray]]:
        return {}  # most columns are asked for by several roles

    @cached_property
    def foreign_text(self) -> str:
        """A cell with characters beyond ASCII, by which to check the encoding of a CSV file; empty if there is none."""
        if table_kind(self.path) != "CSV" or self.form.encoding.startswith("utf"):
            return ""
        cells = (cell for name in self.sample for cell in self.sample[name].dropna().unique() if not cell.isascii())
        return next(cells, "")[:_MAX_TEXT]

    def extent(self, columns: Sequence[str], time_format: TimeFormat, share: float) -> LogExtent:
        """One pass over the column of times, or those of days and of times of day, of the whole file."""
        frame = read_table(self.path, self.form, columns)
        times = parse_times(
            reduce(partial(with_time_of_day, pattern=self.time_format), (frame[name] for name in columns)),
            time_format,
            "UTC",
        )
        moments = times[times.between(*PLAUSIBLE_TIMES)].dt.floor("min").sort_values(ignore_index=True)
        cut = int(np.ceil(share * len(moments))) - 1
        return LogExtent(moments.iloc[0], moments.iloc[cut], moments.iloc[-1], len(moments))


def few_filled(cells: pd.Series) -> pd.Series:
    """A few filled cells from all over a column, enough to see which formats cannot be its own."""
    filled = cells.dropna()
    return filled.iloc[:: max(1, len(filled) // _FEW_ROWS)].iloc[:_FEW_ROWS].reset_index(drop=True)


def _written_as_below(sample: pd.DataFrame) -> list[str]:
    """The names that have digits and other characters at the same places as their cells, where several have, or a date.

    A name such as item1 alone may be above cells such as item3.
    """
    found = []
    for name in map(str, sample.columns):
        shape, cells = _shape(pd.Series([name]))[0], sample[name].dropna().head(_FEW)
        if "9" in shape and shape.strip("9"):
            found += [name] if len(cells) and (_shape(cells) == shape).mean() >= _MIN_ALIKE else []
    return found if len(found) > 1 or any(map(_DATE_SHAPE.match, _shape(pd.Series(found, dtype="string")))) else []


def _shape(cells: pd.Series) -> pd.Series:
    """Cells with 9 in place of each digit and a in that of each letter, [N]."""
    return cells.astype("string").str.replace(r"\d", "9", regex=True).str.replace(r"[^\W\d_]", "a", regex=True)


def _is_nested(filled: pd.Series) -> bool:
    return len(filled) > 0 and (pd.api.types.is_list_like(filled.iloc[0]) or isinstance(filled.iloc[0], bytes))
