"""Files of dates such as 03/04/2024: each has its own order of days and months, or `init` and `ingest` ask for it."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.errors import DataError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files, read_log
from tierrec_core.sources.schema_inference import propose_settings

DAYS, MONTHS = "%d/%m/%Y", "%m/%d/%Y"


def written(folder, name, dates, pattern, num_rows=240):
    """A log of these days, each with as many rows as the others, sorted by time; the days of its rows."""
    rng = np.random.default_rng(len(name))
    days = pd.Series(np.sort(np.resize(pd.DatetimeIndex(dates), num_rows)))
    columns = {"user_id": rng.integers(0, 40, num_rows), "item_id": rng.integers(100, 130, num_rows)}
    pd.DataFrame(columns | {"date": days.dt.strftime(pattern)}).to_csv(folder / name, index=False)
    return days.dt.tz_localize("UTC").tolist()


def read(folder, names, **overrides):
    """By file, the evidence for its times; and all moments that are read."""
    proposal = propose_settings([folder / name for name in names], overrides)
    shown = {guess.place: guess.evidence for guess in proposal.guesses if guess.place.startswith("timestamp")}
    source = parse(FilesSource, proposal.patch["source"], "tests")
    return shown, read_files(source, folder).events["timestamp"].tolist()


JANUARY = pd.date_range("2024-01-03", "2024-01-25")
FEBRUARY = {
    "two days above 12": pd.date_range("2024-02-02", "2024-02-14"),
    "none above 12": pd.date_range("2024-02-01", "2024-02-09"),
}


@pytest.mark.parametrize("orders", [(DAYS, MONTHS), (MONTHS, DAYS), (DAYS, DAYS), (MONTHS, MONTHS)])
@pytest.mark.parametrize("february", FEBRUARY.values(), ids=FEBRUARY)
def test_each_file_has_its_own_order(february, orders, tmp_path):
    truth = written(tmp_path, "a.csv", JANUARY, orders[0]) + written(tmp_path, "b.csv", february, orders[1])
    shown, times = read(tmp_path, ["b.csv", "a.csv"])
    assert times == truth
    first = {DAYS: "days first, as ", MONTHS: "months first, as "}
    assert first[orders[1]] in shown["timestamp"]
    assert first[orders[0]] in shown.get("timestamp in a.csv", shown["timestamp"])


def test_a_lone_file_of_less_than_a_month_spans_its_days(tmp_path):
    truth = written(tmp_path, "log.csv", FEBRUARY["none above 12"], MONTHS)
    shown, times = read(tmp_path, ["log.csv"])
    assert times == truth
    assert "months first, as the rows span 9 days so, else 245" in shown["timestamp"]


def test_the_first_of_each_month_is_no_run_of_days(tmp_path):
    truth = written(tmp_path, "log.csv", pd.date_range("2023-02-01", "2024-01-01", freq="MS"), DAYS)
    shown, times = read(tmp_path, ["log.csv"])
    assert times == truth
    assert "--time-format" in shown["timestamp"]


def test_files_of_one_day_have_the_order_of_the_others(tmp_path):
    names = [f"{day:%Y%m%d}.csv" for day in JANUARY]
    truth = [
        time for name, day in zip(names, JANUARY, strict=True) for time in written(tmp_path, name, [day], MONTHS, 20)
    ]
    assert read(tmp_path, names)[1] == truth


def test_the_name_says_the_month_of_a_single_day(tmp_path):
    truth = written(tmp_path, "2024-02.csv", ["2024-02-03"], MONTHS)
    shown, times = read(tmp_path, ["2024-02.csv"])
    assert times == truth
    assert "the name 2024-02.csv has the month of 100% of rows so" in shown["timestamp"]


DOUBTFUL = {
    "a single day against its name": ((JANUARY, DAYS), (["2024-02-03"], MONTHS), "2024-02.csv"),
    "nothing to see beside two orders": ((JANUARY, DAYS), (["2024-03-04"], DAYS), "x.csv"),
}


@pytest.mark.parametrize(("first", "second", "name"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_what_stays_in_doubt_is_asked_for(first, second, name, tmp_path):
    truth = written(tmp_path, "a.csv", *first) + written(tmp_path, "b.csv", FEBRUARY["none above 12"], MONTHS)
    truth += written(tmp_path, name, *second)
    names = ["a.csv", "b.csv", name]
    with pytest.raises(
        DataError, match=rf"{name}: '0\d/0\d/2024' may have the day or the month first.*\n--time-format '"
    ):
        read(tmp_path, names)
    assert read(tmp_path, names, time_formats={name: second[1]})[1] == sorted(truth)


def test_both_orders_in_one_file_are_refused(tmp_path):
    written(tmp_path, "a.csv", JANUARY, DAYS)
    written(tmp_path, "b.csv", JANUARY, MONTHS, num_rows=20)
    log = pd.concat([pd.read_csv(tmp_path / name) for name in ("a.csv", "b.csv")])
    log.to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DataError, match=r"log\.csv: .*% of rows can only have days first and .*% .* months first"):
        read(tmp_path, ["log.csv"])


LATER = {
    "days above 12": (pd.date_range("2024-02-10", "2024-02-20"), "as .* of rows show"),
    "a run of days": (pd.date_range("2024-02-01", "2024-02-09"), "as the rows span 9 days so"),
}


@pytest.mark.parametrize(("dates", "reason"), LATER.values(), ids=LATER)
def test_what_is_assumed_is_warned_of_and_later_files_that_contradict_are_refused(dates, reason, tmp_path):
    truth = written(tmp_path, "log.csv", pd.date_range("2023-02-01", "2024-01-01", freq="MS"), DAYS)
    pd.DataFrame({"item_id": range(100, 130), "title": "x"}).to_csv(tmp_path / "items.csv", index=False)
    proposal = propose_settings([tmp_path / "log.csv", tmp_path / "items.csv"], {})
    warning = next(line for line in proposal.warnings if "day or the month first" in line)
    assert "0% of the rows decide it" in warning
    assert f"--time-format '{MONTHS}'" in warning
    source = parse(FilesSource, proposal.patch["source"], "tests")
    assert (source.time_format, source.formats) == (DAYS, {})
    later = tmp_path / "later.csv"
    for pattern, own in ((MONTHS, {"later.csv": {"time_format": MONTHS}}), (DAYS, {})):
        moments = written(tmp_path, "later.csv", dates, pattern)
        if own:
            with pytest.raises(
                DataError, match=rf"later.csv: .* months first, {reason}.*source.time_format is .*%d/%m/%Y"
            ):
                read_log(source, tmp_path, [later], [later])
        fixed = parse(FilesSource, proposal.patch["source"] | {"formats": own}, "tests")
        parts = read_log(fixed, tmp_path, [later], [later])
        assert [part["timestamp"].tolist() for part in parts.values()] == [truth, moments]


def test_what_a_period_decides_is_warned_of_and_what_a_name_or_rows_decide_is_not(tmp_path):
    days = [f"2024-{month:02}-{day:02}" for month in (1, 2, 3) for day in (2, 5, 9, 12)]
    truth = written(tmp_path, "log.csv", days, DAYS)
    proposal = propose_settings([tmp_path / "log.csv"], {})
    assert "0% of the rows decide it, as no day of 12 is above 12; days are taken" in proposal.warnings[0]
    assert "as the rows span 71 days so" in proposal.warnings[0]
    source = parse(FilesSource, proposal.patch["source"], "tests")
    assert source.time_format == DAYS
    assert read_files(source, tmp_path).events["timestamp"].tolist() == truth
    written(tmp_path, "2024-02.csv", FEBRUARY["none above 12"], MONTHS)
    written(tmp_path, "sure.csv", JANUARY, DAYS)
    for name in ("2024-02.csv", "sure.csv"):
        assert propose_settings([tmp_path / name], {}).warnings == ()


def test_an_assumed_order_holds_for_later_files_with_other_times_of_day(tmp_path):
    written(tmp_path, "log.csv", pd.date_range("2023-02-01", "2024-01-01", freq="MS"), DAYS)
    source = parse(FilesSource, propose_settings([tmp_path / "log.csv"], {}).patch["source"], "tests")
    later = tmp_path / "later.csv"
    moments = written(tmp_path, "later.csv", pd.date_range("2024-02-03 10:15", "2024-02-20"), f"{DAYS} %H:%M")
    assert read_log(source, tmp_path, [later], [later])[later]["timestamp"].tolist() == moments


def test_a_given_order_is_not_doubted_by_a_period(tmp_path):
    """Days of a month that is longer away than it looks; a new match of a glob is refused by its rows alone."""
    truth = written(tmp_path, "a.csv", ["2024-02-01", "2024-03-01", "2024-05-02"], DAYS)
    proposal = propose_settings([tmp_path / "a.csv"], {"time_format": DAYS})
    source = parse(FilesSource, proposal.patch["source"] | {"paths": [str(tmp_path / "*.csv")]}, "tests")
    assert read_files(source, tmp_path).events["timestamp"].tolist() == truth
    written(tmp_path, "b.csv", JANUARY, MONTHS)
    with pytest.raises(DataError, match=r"b.csv: .* months first, as .*\n--time-format 'b.csv=%m/%d/%Y|'b.csv="):
        read_files(source, tmp_path)


def test_dates_with_another_mark_leave_the_order_of_the_others_alone(tmp_path):
    dots = "%d.%m.%Y"
    truth = written(tmp_path, "a.csv", JANUARY, dots)
    truth += written(tmp_path, "b.csv", FEBRUARY["two days above 12"], MONTHS)
    truth += written(tmp_path, "c.csv", pd.DatetimeIndex(["2024-03-02"]), dots, num_rows=12)
    assert read(tmp_path, ["a.csv", "b.csv", "c.csv"])[1] == truth
