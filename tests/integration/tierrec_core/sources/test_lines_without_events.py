"""Lines that are no events: names of columns in the middle, sums, and a last line that is written still."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.contracts import CUT_LINE, REPEATED_HEADER
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings

NUM_ROWS = 400
NAMES = "user,item,event,time,price,title"


@pytest.fixture(scope="module")
def lines():
    """Lines of a log with times that have an offset."""
    rng = np.random.default_rng(4)
    days = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(NUM_ROWS), unit="D")
    users, items = rng.integers(0, 30, NUM_ROWS), rng.integers(0, 20, NUM_ROWS)
    rows = zip(users, items, days.strftime("%Y-%m-%dT10:00:00Z"), strict=True)
    return [f"u{user},i{item},view,{day},{item}.5,Title {item}" for user, item, day in rows]


def read(folder, lines, end="\n"):
    """What init proposes, and the events and items that are read."""
    (folder / "log.csv").write_text("\n".join([NAMES, *lines]) + end)
    proposal = propose_settings([folder / "log.csv"], {})
    frames = read_files(parse(FilesSource, proposal.patch["source"], "tests"), folder)
    return proposal, frames.events, frames.items


def test_names_of_columns_in_the_middle_are_no_event_and_no_item(lines, tmp_path):
    plain, events, items = read(tmp_path, lines)
    proposal, found, same = read(tmp_path, [*lines[:200], NAMES, *lines[200:], NAMES])
    assert proposal.patch == plain.patch
    (line,) = proposal.warnings
    assert "2 rows have the names of the columns again" in line
    is_none = found["event"] == REPEATED_HEADER
    assert is_none.sum() == 2
    assert found[is_none].drop(columns="event").isna().all(axis=None)
    pd.testing.assert_frame_equal(found[~is_none].reset_index(drop=True), events)
    pd.testing.assert_frame_equal(same, items)


CUTS = {
    "in a time": "u1,i2,view,2024-0",
    "before the title": "u1,i2,view,2024-01-05T10:00:00Z,2.5",
    "at its end": "u1,i2,",
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_last_line_that_is_written_still_is_no_event_until_it_is_whole(cut, lines, tmp_path):
    proposal, events, _ = read(tmp_path, [*lines, cut], end="")
    assert "the last line is cut" in proposal.warnings[0]
    assert (events["event"] == CUT_LINE).sum() == 1
    assert events[events["event"] != CUT_LINE]["event"].tolist() == ["view"] * NUM_ROWS
    proposal, events, _ = read(tmp_path, [*lines, "u1,i2,view,2024-01-05T10:00:00Z,2.5,Title 2"], end="")
    assert proposal.warnings == ()
    assert events["event"].tolist() == ["view"] * (NUM_ROWS + 1)


UNCUT = {
    "an end": lambda lines: [*lines, "u1,i2,view,2024-01-05T10:00:00Z,2.5", ""],
    "short lines elsewhere": lambda lines: [
        *lines[:-1],
        lines[-1].rpartition(",")[0],
        "u1,i2,view,2024-01-05T10:00:00Z",
    ],
    "an empty cell at its end": lambda lines: [*lines, "u1,i2,view,2024-01-05T10:00:00Z,2.5,"],
    "a line separator in a cell": lambda lines: [*lines, "u1,i2,view,2024-01-05T10:00:00Z,2.5,two\u2028lines"],
    "a line end in its cell": lambda lines: [*lines, 'u1,i2,view,2024-01-05T10:00:00Z,2.5,"two\nlines"'],
}


@pytest.mark.parametrize("way", UNCUT.values(), ids=UNCUT)
def test_a_short_last_line_is_no_cut_one_with(way, lines, tmp_path):
    proposal, events, _ = read(tmp_path, way(lines), end="")
    assert proposal.warnings == ()
    assert set(events["event"]) == {"view"}


SUMS = {
    "beside": (",,,{day},{sum},Tagessumme", "title", "tagessumme"),
    "in place of a user": ("Total,,,,{sum},", "user", "total"),
}


@pytest.mark.parametrize(("line", "column", "value"), SUMS.values(), ids=SUMS)
def test_sums_of_days_are_left_out(line, column, value, lines, tmp_path):
    lines = [one.replace(",view,", ",,") for one in lines]
    _, events, _ = read(tmp_path, lines)
    sums = [line.format(day=one.split(",")[3], sum=f"{number}.25") for number, one in enumerate(lines[::5])]
    written = [one for start in range(0, NUM_ROWS, 5) for one in (*lines[start : start + 5], sums[start // 5])]
    proposal, found, _ = read(tmp_path, written)
    shown = next(guess for guess in proposal.guesses if guess.place == f"exclude {column}")
    assert (shown.value, shown.evidence) == (value, "sums, which have no item; 80 rows are left out")
    assert proposal.warnings == ()
    pd.testing.assert_frame_equal(found, events)


def without_events(lines, *further):
    return [one.replace(",view,", ",,") for one in (*lines, *further)]


def test_sums_and_void_orders_in_one_column_are_left_out(lines, tmp_path):
    names = NAMES.replace("event", "status")
    written = [one.replace(",view,", ",refunded," if n % 4 == 0 else ",paid,") for n, one in enumerate(lines)]
    (tmp_path / "log.csv").write_text("\n".join([names, *written, *[",,Total,,5.5,"] * 3]) + "\n")
    proposal = propose_settings([tmp_path / "log.csv"], {})
    assert proposal.patch["source"]["exclude"] == {"status": ["refunded", "total"]}
    shown = next(guess for guess in proposal.guesses if guess.place == "exclude status")
    assert shown.evidence == "orders that came to nothing, by name; sums, which have no item; 103 rows are left out"


@pytest.mark.parametrize("damaged", [",,,{day},77.75,", ",,,,,77", ",,,,1.25,5 Jan 2031"])
def test_damaged_rows_are_no_sums(damaged, lines, tmp_path):
    rows = [damaged.format(day="2031-01-05T10:00:00Z")] * 2
    lines = [
        one.rpartition(",")[0] + f",{n % 28 + 1} Jan 2024" if "Jan" in damaged else one for n, one in enumerate(lines)
    ]
    proposal, events, _ = read(tmp_path, without_events(lines, *rows))
    assert "exclude" not in proposal.patch["source"]
    assert len(events) == NUM_ROWS + 2


@pytest.mark.parametrize("index", ["", "price"], ids=["a nameless column", "a column twice"])
def test_repeated_names_of_nameless_and_repeated_columns_are_found(index, lines, tmp_path):
    header, rows = f"{index},{NAMES}", [f"{n},{one}" for n, one in enumerate(lines)]
    (tmp_path / "log.csv").write_text("\n".join([header, *rows[:200], header, *rows[200:]]) + "\n")
    proposal = propose_settings([tmp_path / "log.csv"], {})
    assert any("1 rows have the names of the columns again" in line for line in proposal.warnings)
    events = read_files(parse(FilesSource, proposal.patch["source"], "tests"), tmp_path).events
    assert (events["event"] == REPEATED_HEADER).sum() == 1


def test_repeated_names_in_a_table_of_users_are_no_user(lines, tmp_path):
    users = ["user,age", *(f"u{n},{20 + n}" for n in range(30))]
    (tmp_path / "users.csv").write_text("\n".join([*users, *users[:1]]) + "\n")
    (tmp_path / "log.csv").write_text("\n".join([NAMES, *lines]) + "\n")
    paths = [tmp_path / "log.csv", tmp_path / "users.csv"]
    source = parse(FilesSource, propose_settings(paths, {}).patch["source"], "tests")
    assert set(read_files(source, tmp_path).users["user_id"]) == {f"u{n}" for n in range(30)}
