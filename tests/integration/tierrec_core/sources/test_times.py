"""Times as shops write them: `init` finds their column, and `ingest` reads the true moments."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.errors import DataError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings

NUM_ROWS = 300
MOMENTS = pd.Series(pd.Timestamp("2024-01-05 09:51", tz="UTC") + pd.to_timedelta(np.arange(NUM_ROWS) * 13, unit="h"))


def written(folder, name, times):
    """A log with these times."""
    rng = np.random.default_rng(3)
    users, items = rng.integers(0, 30, len(times)), rng.integers(0, 20, len(times))
    log = pd.DataFrame({"user_id": users, "item_id": items, "event": "view", "order_date": list(times)})
    log.to_csv(folder / name, index=False)
    return folder / name


def unpadded(times):
    """Without leading zeros, as spreadsheets of the US write times."""
    return [f"{t.month}/{t.day}/{t.year % 100} {t.hour}:{t.minute:02}" for t in times]


def read(folder, paths, **overrides):
    """The evidence for the times, and the moments that are read."""
    proposal = propose_settings(paths, overrides)
    evidence = next(guess.evidence for guess in proposal.guesses if guess.place == "timestamp")
    return evidence, read_files(parse(FilesSource, proposal.patch["source"], "tests"), folder).events["timestamp"]


PATTERNS = (
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %I:%M:%S%p",
    "%d-%m-%Y %H:%M",
    "%m-%d-%Y %H:%M",
    "%d.%m.%y %H:%M",
    "%d/%m/%y %H:%M",
    "%y-%m-%d",
    "%y/%m/%d %H:%M",
    "%y.%m.%d %I:%M %p",
    "%m.%d.%Y %H:%M",
    "%d-%b-%Y %H:%M",
    "%b-%d-%y %H:%M",
    "%d %b %Y %H:%M",
    "%b %d, %Y %I:%M %p",
    "%d.%m.%Y, %H:%M",
    "%d.%m.%Y, %H:%M Uhr",
    "%Y/%m/%d %I:%M:%S %p",
    "%d/%b/%Y:%H:%M:%S +0000",
    "%A, %B %d, %Y %I:%M %p",
    "%Y%m%d %H:%M:%S,000",
    "%Y-%m-%d %H:%M:%S,000",
    "%Y-%m-%d %I:%M %p",
    "%Y/%m/%d %H:%M",
    "%a, %d %b %Y %H:%M:%S +0000",
    "%m/%d/%Y, %I:%M:%S\u202f%p",
    "%d/%m/%Y %H.%M",
    "%Y.%m.%d %H.%M.%S",
    "%d/%m/%Y à %H:%M",
    "%Y年%m月%d日 %H:%M:%S",
    "%Y年%m月%d日 %I:%M %p",
    "%Y%m%d%H%M",
)
WAYS = {pattern: lambda times, pattern=pattern: times.dt.strftime(pattern) for pattern in PATTERNS}
WAYS |= {
    "unpadded": unpadded,
    "dotted halves": lambda times: times.dt.strftime("%m/%d/%Y %I:%M %p").str.replace(r"(.)M$", r"\1.m.", regex=True),
    "spanish halves": lambda times: (
        times.dt.strftime("%d/%m/%Y %I:%M:%S %p").str.lower().str.replace(r"(.)m$", r"\1. m.", regex=True)
    ),
    "serials of a comma": lambda times: (
        ((times - pd.Timestamp("1899-12-30", tz="UTC")) / pd.Timedelta("1D")).map("{:.7f}".format).str.replace(".", ",")
    ),
    "serials": lambda times: (times - pd.Timestamp("1899-12-30", tz="UTC")) / pd.Timedelta("1D"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_true_moments_are_read(way, tmp_path):
    _, times = read(tmp_path, [written(tmp_path, "log.csv", way(MOMENTS))])
    assert times.tolist() == (MOMENTS.dt.floor("D") if way is WAYS["%y-%m-%d"] else MOMENTS).tolist()


TWO_COLUMNS = [
    ("%d.%m.%Y", "%H:%M"),
    ("%m/%d/%y", "%I:%M:%S %p"),
    ("%Y-%m-%d", "%H:%M:%S.000"),
    ("%Y%m%d", "%H:%M"),
    ("%d.%m.%Y", "%H:%M Uhr"),
    ("%m/%d/%Y", "%I:%M\u202f%p"),
    ("%Y-%m-%d 00:00:00", "%H:%M:%S"),
]


@pytest.mark.parametrize(("day", "clock"), TWO_COLUMNS, ids=[f"{day} and {clock}" for day, clock in TWO_COLUMNS])
def test_days_and_times_of_day_in_two_columns_are_read_together(day, clock, tmp_path):
    path = written(tmp_path, "log.csv", MOMENTS.dt.strftime(day))
    clocks = MOMENTS.dt.strftime(clock).where(MOMENTS.index != 4)
    pd.read_csv(path, dtype=str).assign(Uhrzeit=clocks, delivery_time="08:00").to_csv(path, index=False)
    assert read(tmp_path, [path])[1].tolist() == sorted(MOMENTS.where(MOMENTS.index != 4, MOMENTS.dt.floor("D")))
    proposal = propose_settings([path], {})
    shown = next(guess for guess in proposal.guesses if guess.place == "time_of_day")
    assert (shown.value, proposal.warnings) == ("Uhrzeit", ())
    example = MOMENTS[0].strftime(f"{day} {clock}").replace(" 00:00:00", "")
    assert shown.evidence == f"times of day, read with order_date, such as {example!r}"
    assert proposal.patch["split"]["by"] == {"kind": "time", "cut": "last 28 days"}


def test_days_and_times_of_parquet_are_read_together(tmp_path):
    path = written(tmp_path, "log.csv", MOMENTS)
    log = pd.read_csv(path, dtype=str).assign(order_date=MOMENTS.dt.date, clock=MOMENTS.dt.time)
    log.to_parquet(tmp_path / "log.parquet")
    assert read(tmp_path, [tmp_path / "log.parquet"])[1].tolist() == MOMENTS.tolist()


def test_a_time_of_delivery_is_no_time_of_an_order(tmp_path):
    path = written(tmp_path, "log.csv", MOMENTS.dt.strftime("%Y-%m-%d %H:%M"))
    pd.read_csv(path, dtype=str).assign(time=MOMENTS.dt.strftime("%H:%M").shift(7)).to_csv(path, index=False)
    assert read(tmp_path, [path])[1].tolist() == MOMENTS.tolist()


@pytest.mark.parametrize("days", [2, 3000], ids=lambda days: f"{days} days")
@pytest.mark.parametrize("pattern", ["%y-%m-%d %H:%M", "%d-%m-%y %H:%M"])
def test_a_year_of_two_digits_stands_where_it_gives_the_shorter_period(pattern, days, tmp_path):
    """Whatever the span of the log, and with a row in a hundred that has another form."""
    moments = pd.Series(
        pd.date_range("2016-02-13 09:00", periods=NUM_ROWS, freq=f"{days * 1440 // NUM_ROWS}min", tz="UTC")
    )
    written_times = moments.dt.strftime(pattern).where(moments.index % 100 != 3, "01-01-01 00:00")
    evidence, times = read(tmp_path, [written(tmp_path, "log.csv", written_times)])
    kept = moments[moments.index % 100 != 3]
    assert times[times > "2010"].tolist() == kept.tolist()
    assert f"years {'first' if pattern.startswith('%y') else 'last'}, as the rows span " in evidence
    assert "--time-format overrides" in evidence


@pytest.mark.parametrize(
    ("pattern", "rows", "shown"),
    [
        ("%d-%m-%Y %H:%M", NUM_ROWS, "days first, as 58"),
        ("%m-%d-%Y %H:%M", NUM_ROWS, "months first, as 58"),
        ("%m-%d-%Y %H:%M", 14, "days first, by default, as no row shows it; --time-format"),
    ],
)
def test_the_share_of_rows_that_decides_is_shown(pattern, rows, shown, tmp_path):
    times = MOMENTS[np.arange(NUM_ROWS) % rows].dt.strftime(pattern)
    assert shown in read(tmp_path, [written(tmp_path, "log.csv", times)])[0]


def test_a_given_format_decides(tmp_path):
    few = MOMENTS[np.arange(NUM_ROWS) % 14]
    path = written(tmp_path, "log.csv", few.dt.strftime("%m-%d-%Y %H:%M"))
    _, times = read(tmp_path, [path], time_format="%m-%d-%Y %H:%M")
    assert times.tolist() == sorted(few)


def test_each_file_may_have_its_own_format(tmp_path):
    halves = MOMENTS[:150].dt.strftime("%d.%m.%Y %H:%M"), MOMENTS[150:].dt.strftime("%Y-%m-%dT%H:%M")
    paths = [written(tmp_path, f"{n}.csv", half) for n, half in enumerate(halves)]
    _, times = read(tmp_path, paths)
    assert times.tolist() == MOMENTS.tolist()


@pytest.mark.parametrize("num_seconds", [100, 200])
def test_seconds_in_one_file_and_milliseconds_in_another(num_seconds, tmp_path):
    seconds = (MOMENTS - pd.Timestamp(0, tz="UTC")) // pd.Timedelta("1s")
    paths = [
        written(tmp_path, "a.csv", seconds[:num_seconds]),
        written(tmp_path, "b.csv", 1000 * seconds[num_seconds:]),
    ]
    _, times = read(tmp_path, paths)
    assert times.tolist() == MOMENTS.tolist()
    source = FilesSource(paths=("*.csv",), columns={"timestamp": "order_date"}, timestamp_unit="s")
    assert read_files(source, tmp_path).events["timestamp"].tolist() == MOMENTS.tolist()


def test_dates_beside_numbers_of_a_given_unit(tmp_path):
    written(tmp_path, "a.csv", (MOMENTS[:150] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta("1ms"))
    written(tmp_path, "b.csv", MOMENTS[150:].dt.strftime("%Y-%m-%d %H:%M"))
    source = FilesSource(paths=("*.csv",), columns={"timestamp": "order_date"}, timestamp_unit="ms")
    assert read_files(source, tmp_path).events["timestamp"].tolist() == MOMENTS.tolist()


def test_few_unreadable_times_go_on_to_the_gate_and_many_are_refused(tmp_path):
    texts = MOMENTS.dt.strftime("%Y-%m-%d %H:%M:%S").tolist()
    _, times = read(tmp_path, [written(tmp_path, "log.csv", ["0000-00-00 00:00:00", "soon", *texts[2:]])])
    assert times.isna().sum() == 2
    written(tmp_path, "log.csv", ["0000-00-00 00:00:00"] * 150 + texts[150:])
    with pytest.raises(DataError, match=r"'order_date', row 1: '0000-00-00 00:00:00' is not a time .*150 such rows"):
        read_files(FilesSource(paths=("log.csv",), columns={"timestamp": "order_date"}), tmp_path)


@pytest.mark.parametrize(
    "name", ["watch_duration", "watch_time", "length", "opening_time", "Laufzeit", "Wartezeit", "Oeffnungszeit"]
)
def test_a_duration_is_no_time_of_day(name, tmp_path):
    path = written(tmp_path, "log.csv", MOMENTS.dt.strftime("%Y-%m-%d"))
    durations = MOMENTS.dt.strftime("%H:%M").where(MOMENTS.index % 40 != 4, "-")
    pd.read_csv(path, dtype=str).assign(**{name: durations}).to_csv(path, index=False)
    assert read(tmp_path, [path])[1].tolist() == MOMENTS.dt.floor("D").tolist()
    assert propose_settings([path], {}).warnings == ()


@pytest.mark.parametrize("name", ["Belegzeit", "Transaktionszeit", "saletime", "ora", "tijd", "Tid", "godzina", "čas"])
def test_a_time_of_day_is_found_by_its_name(name, tmp_path):
    path = written(tmp_path, "log.csv", MOMENTS.dt.strftime("%Y-%m-%d"))
    pd.read_csv(path, dtype=str).assign(**{name: MOMENTS.dt.strftime("%H:%M")}).to_csv(path, index=False)
    assert read(tmp_path, [path])[1].tolist() == MOMENTS.tolist()


def test_a_time_of_day_under_another_name_is_warned_of(tmp_path):
    path = written(tmp_path, "log.csv", MOMENTS.dt.strftime("%Y-%m-%d"))
    pd.read_csv(path, dtype=str).assign(Kasse=MOMENTS.dt.strftime("%H:%M")).to_csv(path, index=False)
    proposal = propose_settings([path], {})
    (line,) = proposal.warnings
    assert "order_date has the day alone" in line
    assert line.endswith("write source.columns.time_of_day: Kasse")
    source = proposal.patch["source"]
    source["columns"]["time_of_day"] = "Kasse"
    assert read_files(parse(FilesSource, source, "tests"), tmp_path).events["timestamp"].tolist() == MOMENTS.tolist()


GIVEN = {"%Y%m%d %H%M%S": ("%Y%m%d", "%H%M%S"), "%d.%m.%Y %H.%M": ("%d.%m.%Y", "%H.%M"), None: ("%d.%m.%Y", "%H:%M")}


@pytest.mark.parametrize("time_format", GIVEN)
def test_a_time_of_day_of_a_given_column_may_have_any_form(time_format, tmp_path):
    """And another one in a later delivery."""
    day, clock = GIVEN[time_format]
    path = written(tmp_path, "log.csv", MOMENTS.dt.strftime(day))
    clocks = MOMENTS.dt.strftime(clock)
    if time_format is None:
        clocks = clocks.where(MOMENTS.index < NUM_ROWS - 20, MOMENTS.dt.strftime("%I:%M\u202f%p"))
    pd.read_csv(path, dtype=str).assign(TIME=clocks).to_csv(path, index=False)
    columns = {"timestamp": "order_date", "time_of_day": "TIME"}
    source = FilesSource(paths=("log.csv",), columns=columns, time_format=time_format)
    assert read_files(source, tmp_path).events["timestamp"].tolist() == MOMENTS.tolist()


@pytest.mark.parametrize("empty", ["", "-"])
def test_a_time_of_day_with_an_offset_is_left_out(empty, tmp_path):
    """Beside it, a day without a time of day would be the only time without an offset."""
    path = written(tmp_path, "log.csv", MOMENTS.dt.strftime("%Y-%m-%d"))
    clocks = MOMENTS.dt.strftime("%H:%M:%S+02:00").where(MOMENTS.index != 4, empty)
    pd.read_csv(path, dtype=str).assign(time=clocks).to_csv(path, index=False)
    assert read(tmp_path, [path])[1].tolist() == MOMENTS.dt.floor("D").tolist()


def test_a_cell_that_is_no_time_of_day_leaves_the_day(tmp_path):
    path = written(tmp_path, "log.csv", MOMENTS.dt.strftime("%Y-%m-%d"))
    clocks = MOMENTS.dt.strftime("%H:%M").where(MOMENTS.index != 4, "-")
    pd.read_csv(path, dtype=str).assign(order_time=clocks).to_csv(path, index=False)
    assert read(tmp_path, [path])[1].tolist() == sorted(MOMENTS.where(MOMENTS.index != 4, MOMENTS.dt.floor("D")))
