"""Formats of times and the DuckDB SQL that parses each, for `init` and `ingest`."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Self

import duckdb
import pandas as pd

from tierrec_core.base.contracts import FloatArray
from tierrec_core.base.errors import SettingsError
from tierrec_core.sources.times.local_texts import RAW, ZONE, ZONES, cells_query
from tierrec_core.sources.times.time_zones import ABBREVIATIONS, known_zone

MAX_ROWS = 100_000
_FEW_ROWS = 100  # enough to see which formats parse none
PLAUSIBLE_TIMES = (pd.Timestamp("1990-01-01", tz="UTC"), pd.Timestamp("2100-01-01", tz="UTC"))
_PLAUSIBLE = "between timestamptz '{}' and timestamptz '{}'".format(*PLAUSIBLE_TIMES)
_ANY = "is not null"
_SHARE = "coalesce(avg(coalesce(({time}) {condition}, false)::int) filter (raw is not null), 0)"


@dataclass(frozen=True)
class TimeFormat:
    """A format of times.

    name: in messages
    sql: over cells_query, parses one
    unit: of numbers
    marks: characters that each text of this format has; "a" stands for any letter
    """

    name: str
    sql: str
    unit: str | None = None
    marks: frozenset[str] = frozenset()


_ISO = "try_cast(replace(replace(text, ' +', '+'), ' -', '-') as timestamptz)"
_EPOCH = "try(make_timestamp(try_cast(round(number * {scale}) as bigint))) at time zone 'UTC'"
_SERIAL = "try(make_timestamp(try_cast(round((number - 25569) * 86400) as bigint) * 1000000))::timestamptz"
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M", "T%H:%M:%S")
_HALF_DAYS = (
    " %I:%M %p",
    " %I:%M%p",
    " %I:%M:%S %p",
    " %I:%M:%S%p",
    " %I:%M:%S.%f %p",
    " %I:%M:%S.%f%p",
    " %H:%M Uhr",
    " %H:%M:%S Uhr",
    " %Hh%M",
)
_DAYS_FIRST = {f"dates like 31{mark}12{mark}2024": (f"%d{mark}%m{mark}",) for mark in "./-"}
_MONTHS_FIRST = {f"dates like 12{mark}31{mark}2024": (f"%m{mark}%d{mark}",) for mark in "./-"}
_YEARS_FIRST = {f"dates like 24{mark}12{mark}31": f"%y{mark}%m{mark}%d" for mark in "./-"}
_ORDERS = {"days": _DAYS_FIRST, "months": _MONTHS_FIRST, "years": _YEARS_FIRST}
_LONG_YEAR = r"^[^:]*[./ -]\d\d\d\d([ T]|$)"  # behind the day and the month
MONTH_NAME = "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_MONTH_NAMES = {"dates like 31 Dec 2024": ("%d %b ", "%d-%b-", "%d %B ", "%b %d ", "%b-%d-", "%B %d ")}


def _dates(name: str, patterns: Iterable[str], text: str = "text") -> TimeFormat:
    """Patterns of strptime. A year of two digits is tried first, since %Y reads 24 as the year 24.

    Only texts with the separators and the name of a month that all patterns want are tried, by the patterns with as
    many colons and digits of the year: others cost most time.
    """
    tried = list(patterns)
    literals = [re.sub("%-?[A-Za-z]", "", pattern) for pattern in tried]
    marks = {mark: min(literal.count(mark) for literal in literals) for mark in "./-"}
    wanted = [f"{text} like '{f'%{mark}' * count}%'" for mark, count in marks.items() if count]
    has_name = all(re.search("%[bB]", pattern) for pattern in tried)
    wanted += [f"regexp_matches({text}, '{MONTH_NAME}')"] if has_name else []
    needed = {mark for mark, count in marks.items() if count} | ({"a"} if has_name else set())
    parsed = _by_colons(tried, text)
    if {"%y", "%Y"} <= set(re.findall("%[yY]", "".join(tried))):
        long = _by_colons([pattern for pattern in tried if "%Y" in pattern], text)
        parsed = f"case when regexp_matches({text}, '{_LONG_YEAR}') then {long} else {parsed} end"
    return TimeFormat(name, f"case when {' and '.join(wanted or ['true'])} then {parsed} end", marks=frozenset(needed))


def _by_colons(patterns: Sequence[str], text: str) -> str:
    """SQL that tries the patterns with as many colons as the text has; an offset (%z) may have a further one.

    A lone pattern, which a user may have given, is tried on all texts: %X and %c stand for colons.
    """
    if len(patterns) == 1:
        return f"try_strptime({text}, '{patterns[0]}')::timestamptz"
    groups = defaultdict[int, list[str]](list)
    for pattern in patterns:
        for count in (0, 1) if "%z" in pattern else (0,):
            groups[pattern.count(":") + count].append(f"'{pattern}'")
    cases = (
        f"when {count} then try_strptime({text}, [{', '.join(group)}])::timestamptz" for count, group in groups.items()
    )
    return f"case length({text}) - length(replace({text}, ':', '')) {' '.join(cases)} end"


TIME_FORMATS = (
    _dates("dates like 20241231", ("%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d%H", *(f"%Y%m%d{clock}" for clock in _CLOCKS))),
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
    *(_dates(name, (day + clock for clock in _CLOCKS + _HALF_DAYS)) for name, day in _YEARS_FIRST.items()),
    *(
        _dates(
            f"dates like 2024{mark}12{mark}31 01:00 PM",
            (f"%Y{mark}%m{mark}%d{clock}" for clock in (*_HALF_DAYS, " %H")),
        )
        for mark in "-/"
    ),
    _dates("dates like 2024.12.31", (f"%Y.%m.%d{clock}" for clock in _CLOCKS + _HALF_DAYS)),
    _dates("dates like 31/Dec/2024:13:00:00 +0000", ("%d/%b/%Y:%H:%M:%S %z",)),
    _dates("dates like Tue Dec 31 2024 13:00:00 GMT+0000", ("%b %d %Y %H:%M:%S GMT%z", "%b %d %Y %H:%M:%S %z")),
    _dates("dates like Tue, 31 Dec 2024 13:00:00 +0000", (f"%d %b {year} %H:%M:%S %z" for year in ("%y", "%Y"))),
    TimeFormat("days since 1900, as in spreadsheets", _SERIAL, "days"),
)
_BY_NAME = {time_format.name: time_format for time_format in TIME_FORMATS}
_READINGS = [
    {order: _BY_NAME[name] for order, name in zip(_ORDERS, names, strict=True)}
    for names in zip(*_ORDERS.values(), strict=True)
]  # by separator
_SIMILAR_SHARE = 0.05
OFFSET = rf"(?:[zZ]|GMT|{ZONES}|\d\d:\d\d.*[+-]\d\d:?(?:\d\d)?(?: \([^)]*\)|\[[^]]*\]| \d{4})?\]?)$"
_FLAG = "--time-format overrides"


def given_time_format(pattern: str) -> TimeFormat:
    """The format of a strptime pattern."""
    return _dates(f"dates like {pattern}", [pattern.replace("'", "''")], "raw")


def describe_order(values: pd.Series, time_format: TimeFormat) -> str:
    """What shows whether days, months or years come first, such as a share of rows; empty where nothing is in doubt."""
    readings = date_readings(time_format)
    if not readings:
        return ""
    shares = plausible_shares(values.to_frame("c"), list(readings.values())).loc["c"].set_axis(list(readings))
    order = next(order for order, reading in readings.items() if reading is time_format)
    is_open = abs(shares["years"] - shares[["days", "months"]].max()) <= _SIMILAR_SHARE
    other = readings["years"] if order != "years" else readings[str(shares[["days", "months"]].idxmax())]
    by_period = _compare_periods(values, time_format, other) if is_open else ""
    if order == "years" and is_open:
        return f"; years first, {by_period}"
    share = float(shares[order] - shares[[one for one in ("days", "months") if one != order]].max())
    shown = f"as {share:.1%} of rows show" if share > 0 else f"by default, as no row shows it; {_FLAG}"
    return f"; {order} first, {shown}" + (f"; years last, {by_period}" if is_open else "")


def _compare_periods(values: pd.Series, time_format: TimeFormat, other: TimeFormat) -> str:
    found, else_found = (_period(values, one) for one in (time_format, other))
    shown = f"as the rows span {found:.0f} days so, else {else_found:.0f}" if found < else_found else "by default"
    return f"{shown}; {_FLAG}"


def likeliest_format(values: pd.Series, formats: Sequence[TimeFormat], shares: FloatArray) -> TimeFormat:
    """The format with the largest share of rows, the first of equal ones.

    Where a year of two digits may come first or last, its place is the one that gives the shorter period, since
    `24-02-20` and `24-02-21` are of two days and not of two years.
    """
    best = formats[int(shares.argmax())]
    readings = date_readings(best)
    known = {order: float(shares[formats.index(one)]) for order, one in readings.items() if one in formats}
    last = max((order for order in known if order != "years"), key=known.__getitem__, default=None)
    if last is None or "years" not in known or abs(known["years"] - known[last]) > _SIMILAR_SHARE:
        return best
    return min(readings[last], readings["years"], key=lambda reading: _period(values, reading))


def date_readings(time_format: TimeFormat) -> dict[str, TimeFormat]:
    """The orders of days, months and years that dates of this format may have; none where it leaves no doubt."""
    return next((readings for readings in _READINGS if time_format in readings.values()), {})


def pattern_of(text: str, reading: TimeFormat) -> str:
    """The strptime pattern of a date whose days or months come first, with its time of day if it has a known one."""
    days = (_DAYS_FIRST | _MONTHS_FIRST)[reading.name][0]
    day = days + ("%Y" if re.search(r"\d{4}", text) else "%y")
    clocks = (clock for clock in _CLOCKS + _HALF_DAYS if _is_written_as(text, day + clock))
    return day + next(clocks, "")


def _is_written_as(text: str, pattern: str) -> bool:
    try:
        datetime.strptime(text, pattern)
    except ValueError:
        return False
    return True


def _period(values: pd.Series, time_format: TimeFormat) -> float:
    """The days between the first and the last plausible time, but for a hundredth of the rows at each end."""
    times = parse_times(values, time_format, "UTC")
    first, last = times[times.between(*PLAUSIBLE_TIMES)].quantile([0.01, 0.99])
    return float((last - first) / pd.Timedelta("1D"))


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
    return likeliest_format(frame["c"], formats, shares.to_numpy())


def _thinned(values: pd.Series, num_rows: int) -> pd.DataFrame:
    return values.iloc[:: max(1, len(values) // num_rows)].to_frame("c")


def parse_times(values: pd.Series, time_format: TimeFormat, timezone: str, zones: pd.Series | None = None) -> pd.Series:
    """Times in UTC, [N]; NaT where parsing fails. The timezone is that of times without an offset or a zone.

    A time skipped by a clock change moves to the next hour; one that it repeats is the later one.
    zones: the timezone of each time, [N], in a form that known_zone knows, or missing
    Raises SettingsError for an unknown timezone.
    """
    times, abbreviated = _parsed(values, time_format, timezone)
    names = abbreviated if zones is None else abbreviated.fillna(zones)
    for name in names.dropna().unique():
        rows = (names == name).fillna(False)
        times[rows] = _parsed(values[rows], time_format, known_zone(str(name)) or timezone)[0]
    return times


@dataclass(frozen=True)
class _Cells:
    """Columns of texts, times or numbers; equal to any others with the same cells."""

    digest: bytes
    frame: pd.DataFrame = field(compare=False)

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Self:
        hashes = pd.util.hash_pandas_object(frame.astype("string"), index=False).to_numpy()
        kinds = repr([(name, str(dtype)) for name, dtype in frame.dtypes.items()]).encode("utf-8", "surrogatepass")
        return cls(blake2b(hashes.tobytes() + kinds).digest(), frame)


def _parsed(values: pd.Series, time_format: TimeFormat, timezone: str) -> tuple[pd.Series, pd.Series]:
    """Times in UTC, and the abbreviation of a zone at the end of each text, missing where there is none, [N] each."""
    frame = values.to_frame("c")
    if len(values) > MAX_ROWS:
        found = _query_times(frame, time_format, timezone)
    else:
        found = _query_times_once(_Cells.of(frame), time_format, timezone)
    times = pd.Series(found["moment"].dt.tz_convert("UTC").array.copy(), values.index)
    places = found["zone"].fillna(0).astype("int64").to_numpy()
    if not places.any():
        return times, pd.Series(pd.NA, values.index, dtype="string")
    return times, pd.Series([None, *ABBREVIATIONS], dtype="string").take(places).set_axis(values.index)


def _query_times(frame: pd.DataFrame, time_format: TimeFormat, timezone: str) -> pd.DataFrame:
    with _database().cursor() as connection:
        try:
            connection.execute(f"set TimeZone = '{timezone.replace(chr(39), '')}'")
        except duckdb.Error as error:
            raise SettingsError(f"source.timezone: {timezone!r} is unknown; wanted e.g. Europe/Berlin") from error
        connection.register("frame", frame)
        cells = RAW.format(place=0, c="c")
        columns = f"{time_format.sql} as moment, {ZONE} as zone"
        sample = [frame["c"]] if len(frame) <= MAX_ROWS else []
        return connection.execute(cells_query(cells, columns, sample)).df()


@lru_cache(maxsize=8)
def _query_times_once(cells: _Cells, time_format: TimeFormat, timezone: str) -> pd.DataFrame:
    """As _query_times; kept, since `init` asks for the times of one sample in several places."""
    return _query_times(cells.frame, time_format, timezone)


def has_offsets(values: pd.Series) -> bool:
    """Whether most filled cells are texts or times with an offset from UTC, or a zone."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return True
    return bool(values.dropna().astype("string").str.contains(OFFSET, regex=True).mean() > 1 / 2)


def _shares(frame: pd.DataFrame, condition: str, formats: Sequence[TimeFormat] = TIME_FORMATS) -> pd.DataFrame:
    return _query_shares_once(_Cells.of(frame), condition, tuple(formats)).copy()


@lru_cache(maxsize=8)
def _query_shares_once(sample: _Cells, condition: str, formats: tuple[TimeFormat, ...]) -> pd.DataFrame:
    frame = sample.frame
    cells = [RAW.format(place=place, c=_quoted_name(column)) for place, column in enumerate(frame.columns)]
    marks = _marks(frame)
    terms = [
        _SHARE.format(time=time_format.sql, condition=condition) if time_format.marks <= marks else "0.0"
        for time_format in formats
    ]  # to plan a query with all formats takes longer than to parse a sample
    sample_cells = (column for _, column in frame.items())
    query = cells_query(" union all ".join(cells), ", ".join(["place", *terms]), sample_cells) + "group by place"
    with _database().cursor() as connection:
        connection.execute("set TimeZone = 'UTC'").register("frame", frame)
        found = {place: shares for place, *shares in connection.execute(query).fetchall()}
    shares = [found.get(place, [0.0] * len(formats)) for place in range(len(frame.columns))]
    names = [time_format.name for time_format in formats]
    return pd.DataFrame(shares, index=frame.columns, columns=names)


def _marks(frame: pd.DataFrame) -> set[str]:
    """The characters of all cells, with those that cells_query puts in their place, and "a" if one is a letter."""
    found = set("".join("".join(cells.dropna().astype("string")) for _, cells in frame.items()))
    letter = {"a"} if any(mark.isalpha() for mark in found) else set()
    return found | letter | {put for mark, put in ((",", "."), *((mark, "-") for mark in "年년오午")) if mark in found}


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()  # takes longer than most queries here


def _quoted_name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
