"""Time zones in cells and columns, and times of day without a colon: the true moments are read."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.errors import DataError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings
from tierrec_core.sources.times.clocks import with_time_of_day
from tierrec_core.sources.times.time_zones import known_zone

NUM_ROWS = 300
MOMENTS = pd.Series(pd.Timestamp("2024-01-05 09:51", tz="UTC") + pd.to_timedelta(np.arange(NUM_ROWS) * 13, unit="h"))


def written(folder, **columns):
    rng = np.random.default_rng(3)
    log = pd.DataFrame({"user_id": rng.integers(0, 30, NUM_ROWS), "item_id": rng.integers(100, 120, NUM_ROWS)})
    log.assign(event="view", **columns).to_csv(folder / "log.csv", index=False)
    return folder / "log.csv"


def read(path, **overrides):
    """What is shown, and the moments that are read."""
    proposal = propose_settings([path], overrides)
    shown = {guess.place: guess for guess in proposal.guesses}
    source = parse(FilesSource, proposal.patch["source"], "tests")
    return shown, read_files(source, path.parent).events["timestamp"].tolist()


CLOCKS = {
    "%H%M": "minutes",
    "%-H%M": "minutes",
    "%H%M%S": "minutes",
    "%Hh%M": "minutes",
    "%H.%M": "minutes",
    "%H": "hours",
    "%-H": "hours",
    "%H Uhr": "hours",
    "%-I %p": "hours",
}
NAMES = ["uhrzeit", "hour", "order_time", "order_hour_of_day", "Heure"]


@pytest.mark.parametrize("clock", CLOCKS)
def test_times_of_day_without_a_colon_are_read_with_the_day(clock, tmp_path):
    name = NAMES[len(clock) % len(NAMES)]
    path = written(tmp_path, datum=MOMENTS.dt.strftime("%d.%m.%Y"), **{name: MOMENTS.dt.strftime(clock)})
    shown, times = read(path)
    assert times == MOMENTS.dt.floor("h" if CLOCKS[clock] == "hours" else "min").tolist()
    assert shown["time_of_day"].value == name
    assert shown["time_of_day"].evidence.startswith("times of day, read with datum, such as '05.01.2024 ")


def _share(moments):
    return (moments - moments.dt.floor("D")) / pd.Timedelta("1D")


CELLS = {
    "share": lambda moments: _share(moments).map("{:.9f}".format),
    "share with comma": lambda moments: _share(moments).map("{:.9f}".format).str.replace(".", ","),
    "seconds": lambda moments: (_share(moments) * 86_400).round().astype(int),
    "dots": lambda moments: moments.dt.strftime("%H.%M.%S"),
    "day of Excel": lambda moments: moments.dt.strftime("1899-12-30 %H:%M:%S"),
    "day of Excel in Germany": lambda moments: moments.dt.strftime("30.12.1899 %H:%M:%S"),
}


@pytest.mark.parametrize("cells", CELLS)
def test_times_of_day_as_spreadsheets_and_tills_write_them(cells, tmp_path):
    times = CELLS[cells](MOMENTS)
    shown, read_times = read(written(tmp_path, datum=MOMENTS.dt.strftime("%d.%m.%Y"), Zeit=times))
    assert read_times == MOMENTS.tolist()
    assert shown["time_of_day"].value == "Zeit"


def test_the_number_of_a_day_is_read_with_its_time(tmp_path):
    days = (MOMENTS.dt.floor("D") - pd.Timestamp("1899-12-30", tz="UTC")).dt.days
    assert read(written(tmp_path, Date=days, Time=MOMENTS.dt.strftime("%H:%M:%S")))[1] == MOMENTS.tolist()


def test_seconds_of_a_morning_are_read_as_those_of_a_day():
    seconds = pd.Series(np.arange(6 * 3600, 12 * 3600, 77))
    moments = with_time_of_day(pd.Series(["2024-01-05"] * len(seconds)), seconds)
    wanted = pd.Timestamp("2024-01-05") + pd.to_timedelta(seconds, unit="s")
    assert pd.to_datetime(moments).tolist() == wanted.tolist()


def test_seconds_of_visits_are_no_times_of_day(tmp_path):
    columns = {"datum": MOMENTS.dt.strftime("%d.%m.%Y"), "time": (np.arange(NUM_ROWS) * 7919) % 3600}
    assert "time_of_day" not in read(written(tmp_path, **columns))[0]


@pytest.mark.parametrize("name", ["day", "quantity", "delivery_hours", "hours_worked", "lead_time", "num_times"])
def test_other_small_numbers_are_no_times_of_day(name, tmp_path):
    path = written(tmp_path, datum=MOMENTS.dt.strftime("%d.%m.%Y"), **{name: MOMENTS.dt.day % 23})
    shown, times = read(path)
    assert "time_of_day" not in shown
    assert times == MOMENTS.dt.floor("D").tolist()


LOCAL = {
    "Europe/Berlin": "Europe/Berlin",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
    "+05:30": "Asia/Kolkata",
    "UTC-3": "Etc/GMT+3",
    "EST": "Etc/GMT+5",
}


def test_a_column_of_zones_is_read(tmp_path):
    zones = pd.Series(np.resize(list(LOCAL), NUM_ROWS))
    local = [f"{t.tz_convert(LOCAL[zone]):%d.%m.%Y %H:%M}" for t, zone in zip(MOMENTS, zones, strict=True)]
    shown, times = read(written(tmp_path, ordered_at=local, time_zone=zones))
    assert times == MOMENTS.tolist()
    assert (shown["timezone"].value, shown["timezone"].override) == ("time_zone", "--timezone")


@pytest.mark.parametrize("pattern", ["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%y %I:%M %p"])
def test_zones_behind_the_times_are_read(pattern, tmp_path):
    names = {"CET": 1, "CEST": 2, "EST": -5, "MSK": 3, "UTC": 0}
    local = [
        f"{(t + pd.Timedelta(hours=names[zone])):{pattern}} {zone}"
        for t, zone in zip(MOMENTS, np.resize(list(names), NUM_ROWS), strict=True)
    ]
    shown, times = read(written(tmp_path, ordered_at=local))
    assert times == MOMENTS.tolist()
    assert "timezone" not in shown


def test_times_of_browsers_and_servers_are_read(tmp_path):
    local = MOMENTS.dt.tz_convert("Europe/Berlin")
    browser = [f"{t:%a %b %d %Y %H:%M:%S} GMT{t:%z} (Central European Standard Time)" for t in local]
    assert read(written(tmp_path, time=browser))[1] == MOMENTS.tolist()
    assert read(written(tmp_path, time=[f"[{t:%d/%b/%Y:%H:%M:%S %z}]" for t in local]))[1] == MOMENTS.tolist()


def test_the_zone_that_is_assumed_is_shown(tmp_path):
    path = written(tmp_path, time=MOMENTS.dt.strftime("%Y-%m-%d %H:%M"))
    shown, times = read(path)
    zone = shown["timezone"]
    assert (zone.value, zone.override) == ("UTC", "--timezone")
    assert zone.evidence == "assumed for times without an offset such as '2024-01-05 09:51'"
    assert times == MOMENTS.tolist()
    shown, times = read(path, timezone="Asia/Tokyo")
    assert shown["timezone"].evidence.startswith("given, for ")
    assert times == (MOMENTS - pd.Timedelta("9h")).tolist()
    assert "timezone" not in read(written(tmp_path, time=MOMENTS.dt.strftime("%Y-%m-%dT%H:%M:%SZ")))[0]
    assert "timezone" not in read(written(tmp_path, time=MOMENTS.astype("int64") // 10**9))[0]


def test_an_unknown_zone_is_named(tmp_path):
    path = written(
        tmp_path, time=MOMENTS.dt.strftime("%Y-%m-%d %H:%M"), tz=np.resize(["Europe/Berlin", "IST"], NUM_ROWS)
    )
    shown, _ = read(path)
    assert shown["timezone"].evidence.endswith("; tz is not read, as it has 'IST'")
    source = parse(FilesSource, propose_settings([path], {}).patch["source"], "tests")
    source = source.model_copy(update={"columns": source.columns.model_copy(update={"timezone": "tz"})})
    with pytest.raises(DataError, match=r"column 'tz': 'IST' is no known time zone; wanted one such as Europe/Berlin"):
        read_files(source, tmp_path)


@pytest.mark.parametrize("name", ["CST", "BST", "somewhere", "", "+99:00"])
def test_what_is_several_zones_or_none_is_not_known(name):
    assert known_zone(name) is None


@pytest.mark.parametrize("cells", [[f"{hour or 24}" for hour in range(24)], [*map(str, range(23)), "24"]])
def test_hours_up_to_24_are_hours(cells):
    days = pd.Series(["2024-01-05"] * len(cells), dtype="string")
    moments = with_time_of_day(days, pd.Series(cells, dtype="string"))
    assert moments.tolist() == [f"2024-01-05 {int(cell) % 24:02}:00" for cell in cells]


def test_few_cells_of_hours_and_minutes_change_no_hours():
    days = pd.Series(["2024-01-05"] * 25, dtype="string")
    moments = with_time_of_day(days, pd.Series([*map(str, range(24)), "930"], dtype="string"))
    assert moments.tolist()[:24] == [f"2024-01-05 {hour:02}:00" for hour in range(24)]
