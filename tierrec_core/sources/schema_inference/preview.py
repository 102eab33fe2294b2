"""Preview of a file: its separator, columns and first rows, and the formats of its times."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import duckdb
import numpy as np
import pandas as pd

from tierrec_core.base.errors import UnreadableFileError
from tierrec_core.sources.time_formats import PLAUSIBLE, TIME_FORMATS, TimeFormat, plausible_shares

MAX_ROWS = 200_000
_MIN_PARSED = 0.95
_TIME_ROWS = 1000
_PARQUET = (".parquet", ".pq")
_SEPARATOR = "select Delimiter from sniff_csv({path})"
_SAMPLE = "select * from {relation} limit {rows}"
_MINUTES = """
select date_trunc('minute', moment) moment, count(*) num from (select {time} moment from {relation})
where moment {during} group by all order by all
"""


@dataclass(frozen=True)
class LogExtent:
    """First and last time of a log, the time before which `share` of its rows lie, and its number of rows."""

    first: pd.Timestamp
    cut: pd.Timestamp
    last: pd.Timestamp
    rows: int


@dataclass(frozen=True)
class FilePreview:
    """The first rows of a file, as text for CSV. separator is None for Parquet."""

    path: Path
    separator: str | None
    sample: pd.DataFrame

    @classmethod
    def at(cls, path: Path, separator: str | None = None) -> Self:
        """Read the first MAX_ROWS rows. Raises UnreadableFileError when there are none or they cannot be read."""
        if not path.is_file() or path.stat().st_size == 0:
            problem = "is empty" if path.is_file() else "is not a file"
            raise UnreadableFileError(f"{path}: {problem}; wanted a CSV or Parquet file with a row of column names")
        with _reading(path) as connection:
            if path.suffix.lower() in _PARQUET:
                separator = None
            elif separator is None:
                separator = str(connection.execute(_SEPARATOR.format(path=_quoted(path))).fetchall()[0][0])
            query = _SAMPLE.format(relation=_relation(path, separator), rows=MAX_ROWS)
            sample = connection.execute(query).df()
        for name in sample.columns:
            if name.replace(".", "").isdigit():
                raise UnreadableFileError(
                    f"{path}: the first line has {name!r}, wanted a line of column names; add one"
                )
        if sample.empty:
            raise UnreadableFileError(f"{path}: has column names but no rows; wanted at least one")
        return cls(path, separator, sample)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in the order of the file."""
        return [str(name) for name in self.sample.columns]

    @cached_property
    def time_formats(self) -> dict[str, TimeFormat]:
        """The format of each column that holds times."""
        rows = self.sample.iloc[:: max(1, len(self.sample) // _TIME_ROWS)]
        shares = plausible_shares(rows).to_numpy()
        best = zip(self.columns, shares.argmax(axis=1), shares.max(axis=1), strict=True)
        return {column: TIME_FORMATS[index] for column, index, share in best if share >= _MIN_PARSED}

    def extent(self, column: str, time_format: TimeFormat, share: float) -> LogExtent:
        """One pass over the time column of the whole file. Raises UnreadableFileError when a row cannot be parsed."""
        relation = _relation(self.path, self.separator)
        query = _MINUTES.format(time=time_format.of(column), relation=relation, during=PLAUSIBLE)
        with _reading(self.path) as connection:
            minutes = connection.execute(query).df()
        moments, rows = minutes["moment"], minutes["num"].cumsum()
        cut = int(np.searchsorted(rows, share * rows.iloc[-1]))
        return LogExtent(moments.iloc[0], moments.iloc[cut], moments.iloc[-1], int(rows.iloc[-1]))


@contextmanager
def _reading(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        with duckdb.connect() as connection:
            connection.execute("set memory_limit = '2GB'").execute("set TimeZone = 'UTC'")
            yield connection
    except duckdb.Error as error:
        reason = str(error).splitlines()[0][:200]
        raise UnreadableFileError(
            f"{path}: cannot be read as {'Parquet' if path.suffix.lower() in _PARQUET else 'CSV'} ({reason}); "
            "wanted UTF-8 text with one row per line, or Parquet; --separator sets the column separator"
        ) from error


def _relation(path: Path, separator: str | None) -> str:
    if separator is None:
        return f"read_parquet({_quoted(path)})"
    options = "header = true, all_varchar = true, quote = '\"', escape = '\"'"
    return f"read_csv({_quoted(path)}, delim = {_quoted(separator)}, {options})"


def _quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"
