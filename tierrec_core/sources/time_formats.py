"""Formats of times and the DuckDB SQL that parses each, for `init` and `ingest`."""

from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd

from tierrec_core.base.errors import SettingsError

MAX_ROWS = 100_000
PLAUSIBLE = "between timestamptz '1990-01-01 00:00:00+00' and timestamptz '2100-01-01 00:00:00+00'"
_ANY = "is not null"
_SHARE = "coalesce(avg(coalesce(({time}) {condition}, false)::int) filter ({c} is not null), 0)"


@dataclass(frozen=True)
class TimeFormat:
    """A format of times: its name in messages, the SQL that parses column {c}, and the unit of numbers."""

    name: str
    sql: str
    unit: str | None = None

    def of(self, column: str) -> str:
        """The SQL that parses this column; null where it fails."""
        return self.sql.format(c=_quoted_name(column))


_TEXT = "cast({c} as varchar)"
_ISO = f"try_cast(replace(replace({_TEXT}, ' +', '+'), ' -', '-') as timestamptz)"
_MICROS = f"try_cast(round(try_cast({_TEXT} as double) * {{scale}}) as bigint)"
_EPOCH = f"try(make_timestamp({_MICROS})) at time zone 'UTC'"
TIME_FORMATS = (
    *(
        TimeFormat(f"{name}seconds since 1970", _EPOCH.replace("{scale}", scale), unit)
        for name, unit, scale in (
            ("", "s", "1e6"),
            ("milli", "ms", "1e3"),
            ("micro", "us", "1"),
            ("nano", "ns", "1e-3"),
        )
    ),
    TimeFormat("ISO 8601 dates", f"nullif({_ISO}, timestamptz 'infinity')"),
    *(
        TimeFormat(f"dates like {example}", f"try_strptime({_TEXT}, {formats})::timestamptz")
        for example, formats in (
            ("31.12.2024", "['%d.%m.%Y %H:%M:%S', '%d.%m.%Y %H:%M', '%d.%m.%Y']"),
            ("31/12/2024", "['%d/%m/%Y %H:%M:%S', '%d/%m/%Y %H:%M', '%d/%m/%Y']"),
            ("12/31/2024", "['%m/%d/%Y %H:%M:%S', '%m/%d/%Y %H:%M', '%m/%d/%Y']"),
            ("20241231", "['%Y%m%d%H%M%S', '%Y%m%d']"),
        )
    ),
)


def plausible_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Share of each column's filled rows that each format parses as a time of 1990 to 2100, [columns, TIME_FORMATS]."""
    return _shares(frame, PLAUSIBLE)


def detect_time_format(values: pd.Series, unit: str = "auto") -> TimeFormat:
    """The format that parses most of MAX_ROWS rows as plausible times, else as any times.

    Ties go to the first, so that day.month precedes month.day.
    unit: of numbers, if known; dates are parsed regardless
    """
    frame = values.iloc[:: max(1, len(values) // MAX_ROWS)].to_frame("c")
    shares = plausible_shares(frame).loc["c"]
    if unit != "auto" or not shares.any():
        parsed = _shares(frame, _ANY).loc["c"]
        given = next((known for known in TIME_FORMATS if unit == known.unit), None)
        if given is not None and parsed[given.name] > 1 / 2:
            return given
        shares = shares if shares.any() else parsed
    return TIME_FORMATS[int(shares.to_numpy().argmax())]


def parse_times(values: pd.Series, time_format: TimeFormat, timezone: str) -> pd.Series:
    """Times in UTC, [N]; NaT where parsing fails. The timezone is that of times without an offset.

    A time skipped by a clock change moves to the next hour; one that it repeats is the later one.
    Raises SettingsError for an unknown timezone.
    """
    with duckdb.connect() as connection:
        try:
            connection.execute(f"set TimeZone = '{timezone.replace(chr(39), '')}'")
        except duckdb.Error as error:
            raise SettingsError(f"source.timezone: {timezone!r} is unknown; wanted e.g. Europe/Berlin") from error
        connection.register("frame", values.to_frame("c"))
        times = connection.execute(f"select {time_format.of('c')} moment from frame").df()  # noqa: S608
    return pd.Series(times["moment"].dt.tz_convert("UTC").array, values.index)


def _shares(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    terms = [
        _SHARE.format(c=_quoted_name(column), time=time_format.of(column), condition=condition)
        for column in frame.columns
        for time_format in TIME_FORMATS
    ]
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'").register("frame", frame)
        shares = connection.execute(f"select {', '.join(terms)} from frame").fetchall()[0]  # noqa: S608
    table = np.reshape(shares, (len(frame.columns), len(TIME_FORMATS)))
    return pd.DataFrame(table, index=frame.columns, columns=[time_format.name for time_format in TIME_FORMATS])


def _quoted_name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
