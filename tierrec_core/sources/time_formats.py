"""Formats of times and the DuckDB SQL that parses each, for `init` and `ingest`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb
import pandas as pd

from tierrec_core.base.errors import SettingsError

MAX_ROWS = 100_000
_FEW_ROWS = 1000
PLAUSIBLE_TIMES = (pd.Timestamp("1990-01-01", tz="UTC"), pd.Timestamp("2100-01-01", tz="UTC"))
_PLAUSIBLE = "between timestamptz '{}' and timestamptz '{}'".format(*PLAUSIBLE_TIMES)
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


_RAW = "cast({c} as varchar)"
_SPACED = f"replace(replace({_RAW}, '\u202f', ' '), '\u00a0', ' ')"  # as browsers and phones write AM
_HALVES = rf"regexp_replace({_SPACED}, '([AaPp])\.[Mm]\.', '\1m')"
_TEXT = rf"replace(regexp_replace({_HALVES}, '(:\d\d),(\d)', '\1.\2'), ', ', ' ')"
_ISO = f"try_cast(replace(replace({_TEXT}, ' +', '+'), ' -', '-') as timestamptz)"
_NUMBER = f"try_cast({_RAW} as double)"
_EPOCH = f"try(make_timestamp(try_cast(round({_NUMBER} * {{scale}}) as bigint))) at time zone 'UTC'"
_SERIAL = f"try(make_timestamp(try_cast(round(({_NUMBER} - 25569) * 86400) as bigint) * 1000000))::timestamptz"
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M", "T%H:%M:%S")
_HALF_DAYS = (" %I:%M %p", " %I:%M%p", " %I:%M:%S %p", " %I:%M:%S%p")
_DAYS_FIRST = {f"dates like 31{mark}12{mark}2024": (f"%d{mark}%m{mark}",) for mark in "./-"}
_MONTHS_FIRST = {f"dates like 12{mark}31{mark}2024": (f"%m{mark}%d{mark}",) for mark in "./-"}
_MONTH_NAMES = {"dates like 31 Dec 2024": ("%d %b ", "%d-%b-", "%d %B ", "%b %d ", "%b-%d-", "%B %d ")}


def _dates(name: str, patterns: Iterable[str], text: str = _TEXT) -> TimeFormat:
    """Patterns of strptime. A year of two digits is tried first, since %Y reads 24 as the year 24."""
    listed = ", ".join(f"'{pattern}'" for pattern in patterns)
    return TimeFormat(name, f"try_strptime({text}, [{listed}])::timestamptz")


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
        _dates(name, (day + year + clock for day in days for year in ("%y", "%Y") for clock in _CLOCKS + _HALF_DAYS))
        for name, days in (_DAYS_FIRST | _MONTHS_FIRST | _MONTH_NAMES).items()
    ),
    _dates("dates like 2024-12-31 01:00 PM", (f"%Y-%m-%d{clock}" for clock in _HALF_DAYS)),
    _dates("dates like Tue, 31 Dec 2024 13:00:00 +0000", ("%a %d %b %Y %H:%M:%S %z", "%a %d %b %Y %H:%M:%S GMT")),
    _dates("dates like 20241231", ("%Y%m%d%H%M%S", "%Y%m%d")),
    TimeFormat("days since 1900, as in spreadsheets", _SERIAL, "days"),
)
_OTHER_ORDER = dict(zip([*_DAYS_FIRST, *_MONTHS_FIRST], [*_MONTHS_FIRST, *_DAYS_FIRST], strict=True))


def given_time_format(pattern: str) -> TimeFormat:
    """The format of a strptime pattern."""
    return _dates(f"dates like {pattern}", [pattern.replace("'", "''").replace("{", "{{").replace("}", "}}")], _RAW)


def describe_order(values: pd.Series, time_format: TimeFormat) -> str:
    """Which share of rows shows whether days or months come first; empty where the format leaves no doubt."""
    if time_format.name not in _OTHER_ORDER:
        return ""
    both = [known for known in TIME_FORMATS if known.name in (time_format.name, _OTHER_ORDER[time_format.name])]
    shares = plausible_shares(values.to_frame("c"), both).loc["c"]
    order = "days" if time_format.name in _DAYS_FIRST else "months"
    share = float(2 * shares[time_format.name] - shares.sum())
    shown = f"as {share:.1%} of rows show" if share > 0 else "by default, as no row shows it; --time-format overrides"
    return f"; {order} first, {shown}"


def plausible_shares(frame: pd.DataFrame, formats: Sequence[TimeFormat] = TIME_FORMATS) -> pd.DataFrame:
    """Share of each column's filled rows that each format parses as a time of 1990 to 2100, [columns, formats]."""
    return _shares(frame, _PLAUSIBLE, formats)


def detect_time_format(values: pd.Series, unit: str = "auto") -> TimeFormat:
    """The format that parses most of MAX_ROWS rows as plausible times, else as any times.

    Ties go to the first, so that day.month precedes month.day.
    unit: of numbers, if known; dates are parsed regardless
    """
    parsed = _shares(_thinned(values, _FEW_ROWS), _ANY).loc["c"]
    given = next((known for known in TIME_FORMATS if unit == known.unit), None)
    if given is not None and parsed[given.name] > 1 / 2:
        return given
    formats = [known for known in TIME_FORMATS if parsed[known.name] > 0] or TIME_FORMATS
    frame = _thinned(values, MAX_ROWS)
    shares = plausible_shares(frame, formats).loc["c"]
    shares = shares if shares.any() else _shares(frame, _ANY, formats).loc["c"]
    return formats[int(shares.to_numpy().argmax())]


def _thinned(values: pd.Series, num_rows: int) -> pd.DataFrame:
    return values.iloc[:: max(1, len(values) // num_rows)].to_frame("c")


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


def _shares(frame: pd.DataFrame, condition: str, formats: Sequence[TimeFormat] = TIME_FORMATS) -> pd.DataFrame:
    shares = []
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'").register("frame", frame)
        for column in frame.columns:  # a query each, as the memory of one for all is quadratic in the columns
            terms = [
                _SHARE.format(c=_quoted_name(column), time=time_format.of(column), condition=condition)
                for time_format in formats
            ]
            shares += connection.execute(f"select {', '.join(terms)} from frame").fetchall()  # noqa: S608
    names = [time_format.name for time_format in formats]
    return pd.DataFrame(shares, index=frame.columns, columns=names)


def _quoted_name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
