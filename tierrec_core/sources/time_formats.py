"""The ways to write a time, and the SQL (DuckDB) that reads each: `init` and `ingest` read a column alike."""

from dataclasses import dataclass

import duckdb
import pandas as pd

from tierrec_core.base.errors import SettingsError

MAX_RANKED = 100_000
PLAUSIBLE = "between timestamptz '1990-01-01 00:00:00+00' and timestamptz '2100-01-01 00:00:00+00'"
_ANY = "is not null"
_SHARE = "coalesce(avg(coalesce(({time}) {condition}, false)::int) filter ({c} is not null), 0)"


@dataclass(frozen=True)
class TimeFormat:
    """One way to write a time: how a person calls it, and the SQL that reads column {c}; unit is for numbers."""

    name: str
    sql: str
    unit: str | None = None

    def of(self, column: str) -> str:
        """The SQL that reads this column; null where it holds no such time."""
        return self.sql.format(c=_name(column))


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
        TimeFormat(f"dates like {shown}", f"try_strptime({_TEXT}, {formats})::timestamptz")
        for shown, formats in (
            ("31.12.2024", "['%d.%m.%Y %H:%M:%S', '%d.%m.%Y %H:%M', '%d.%m.%Y']"),
            ("31/12/2024", "['%d/%m/%Y %H:%M:%S', '%d/%m/%Y %H:%M', '%d/%m/%Y']"),
            ("12/31/2024", "['%m/%d/%Y %H:%M:%S', '%m/%d/%Y %H:%M', '%m/%d/%Y']"),
            ("20241231", "['%Y%m%d%H%M%S', '%Y%m%d']"),
        )
    ),
)


def plausible_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Share of each column's filled rows that each clock reads as a time of 1990 to 2100, [columns, CLOCKS]."""
    return _shares(frame, PLAUSIBLE)


def detect_time_format(values: pd.Series, unit: str = "auto") -> TimeFormat:
    """The clock that reads most rows plausibly, else at all; of equals the first, so that days precede months.

    Of a long column MAX_RANKED rows are looked at, evenly apart.
    unit: what most numbers are in, if known; dates are read all the same
    """
    frame = values.iloc[:: max(1, len(values) // MAX_RANKED)].to_frame("c")
    shares = plausible_shares(frame).loc["c"]
    if unit != "auto" or not shares.any():
        read = _shares(frame, _ANY).loc["c"]
        number = next((clock for clock in TIME_FORMATS if unit == clock.unit), None)
        if number is not None and read[number.name] > 1 / 2:
            return number
        shares = shares if shares.any() else read
    return TIME_FORMATS[int(shares.to_numpy().argmax())]


def parse_times(values: pd.Series, clock: TimeFormat, timezone: str) -> pd.Series:
    """Moments in UTC, [N]; NaT where the clock reads none. Times without an offset are of the timezone.

    The hour that a clock change skips moves on; of the hour that it repeats, the later one is meant.
    Raises SettingsError for an unknown timezone.
    """
    with duckdb.connect() as connection:
        try:
            connection.execute(f"set TimeZone = '{timezone.replace(chr(39), '')}'")
        except duckdb.Error as error:
            raise SettingsError(f"source.timezone: unknown {timezone!r}; wanted e.g. Europe/Berlin") from error
        connection.register("seen", values.to_frame("c"))
        found = connection.execute(f"select {clock.of('c')} moment from seen").df()  # noqa: S608
    return pd.Series(found["moment"].dt.tz_convert("UTC").array, values.index)


def _shares(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    wanted = [
        _SHARE.format(c=_name(column), time=clock.of(column), condition=condition)
        for column in frame.columns
        for clock in TIME_FORMATS
    ]
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'").register("seen", frame)
        found = connection.execute(f"select {', '.join(wanted)} from seen").fetchall()[0]  # noqa: S608
    rows = [found[start : start + len(TIME_FORMATS)] for start in range(0, len(found), len(TIME_FORMATS))]
    return pd.DataFrame(rows, index=frame.columns, columns=[clock.name for clock in TIME_FORMATS])


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
