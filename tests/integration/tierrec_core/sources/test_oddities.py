"""What `init` warns of, since only a person can judge it: rounded ids, guests, items that are no products."""

import shlex

import numpy as np
import pandas as pd
import pytest
from ruamel import yaml

from tierrec_core.base.contracts import GUEST
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources import read_source
from tierrec_core.sources.schema_inference import propose_settings

NUM_ROWS = 1200


@pytest.fixture
def log():
    rng = np.random.default_rng(11)
    moments = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(NUM_ROWS) * 3, unit="h")
    frame = pd.DataFrame({"user_id": rng.integers(100, 180, NUM_ROWS), "item_id": rng.integers(0, 40, NUM_ROWS)})
    return frame.astype(str).assign(event="purchase", timestamp=moments)


def warnings_of(log, folder, items=None, **overrides):
    log.to_csv(folder / "log.csv", index=False)
    files = [folder / "log.csv"]
    if items is not None:
        items.to_csv(folder / "items.csv", index=False)
        files.append(folder / "items.csv")
    return propose_settings(files, overrides).warnings


def test_a_plain_log_gives_no_warning(log, tmp_path):
    titles = pd.DataFrame({"item_id": range(40), "title": [f"Coffee mug {n}" for n in range(40)]})
    assert warnings_of(log, tmp_path, titles) == ()


@pytest.mark.parametrize(("role", "written"), [("user_id", "4.05E+12"), ("item_id", "4E+12"), ("item_id", "4,051e+12")])
def test_rounded_ids_are_counted(role, written, log, tmp_path):
    log.loc[log.index % 4 == 0, role] = written
    (line,) = [line for line in warnings_of(log, tmp_path) if "spreadsheet" in line]
    assert f"25% of the rows have a {role.removesuffix('_id')} id such as {written!r} in {role}" in line


def test_rounded_times_are_counted(log, tmp_path):
    log["timestamp"] = [f"{stamp.timestamp() * 1000:.5E}" for stamp in log["timestamp"]]
    (line,) = warnings_of(log, tmp_path)
    assert "100% of the rows have a time such as '1.70441E+12' in timestamp" in line


@pytest.mark.parametrize("guest", ["0", "guest", ""])
def test_guests_are_asked_about_and_can_be_declared(guest, log, tmp_path):
    log.loc[log.index % 4 == 0, "user_id"] = guest
    (line,) = warnings_of(log, tmp_path)
    assert f"user {guest!r} has 25% of the rows" in line
    assert line.endswith(f"--guest {shlex.quote(guest)}")
    assert warnings_of(log, tmp_path, guests=[guest]) == ()
    patch = propose_settings([tmp_path / "log.csv"], {"guests": [guest]}).patch
    events = read_source(parse(FilesSource, patch["source"], "tests"), tmp_path, seed=0).events
    assert len(events) == NUM_ROWS
    users = events["user_id"].value_counts()
    assert users[GUEST] == NUM_ROWS / 4
    assert guest not in users


def test_who_logged_in_is_offered_beside_the_visitor_and_a_user_agent_is_nobody(log, tmp_path):
    log["visitor_id"] = "v" + log.pop("user_id")
    log.insert(0, "client", np.where(log.index % 2, "Mozilla/5.0 (X11; Linux) Firefox", "Opera/9.8 (Mac; en) Presto"))
    log.insert(0, "user_id", ("u" + log["visitor_id"]).where(log.index % 10 == 0))
    (line,) = warnings_of(log, tmp_path)
    assert "user_id is filled in 10% of the rows" in line
    source = propose_settings([tmp_path / "log.csv"], {}).patch["source"]
    assert source["columns"]["user"] == "visitor_id"
    source["columns"]["user"] = yaml.YAML(typ="safe").load(
        line.partition("source.columns.user: ")[2].partition(", of")[0]
    )
    users = read_source(parse(FilesSource, source, "tests"), tmp_path, seed=0).events["user_id"]
    assert users.str.startswith("u").sum() == NUM_ROWS / 10
    assert users.str.startswith("v").sum() == NUM_ROWS * 9 / 10


def test_the_time_of_the_event_is_taken_instead_of_later_ones(log, tmp_path):
    ordered = log.pop("timestamp")
    log["exported_at"], log["shipped_at"] = pd.Timestamp("2024-09-01"), ordered + pd.Timedelta(days=3)
    log["ordered"] = ordered
    assert warnings_of(log, tmp_path) == ()
    source = propose_settings([tmp_path / "log.csv"], {}).patch["source"]
    assert source["columns"]["timestamp"] == "ordered"
    (line,) = warnings_of(log, tmp_path, time_column="exported_at")
    assert "all rows have the time 2024-09-01 in exported_at" in line


def test_values_of_two_forms_stay_empty_with_a_warning_and_of_one_form_are_read(log, tmp_path):
    log["Net Sales"] = np.where(log.index % 2, "$1,403.60", "1.403,60 €")
    (line,) = warnings_of(log, tmp_path)
    assert "Net Sales is not used, and values stay empty: '1.403,60 €' and 599 other cells are no numbers" in line
    log["Net Sales"] = "$1,403.60"
    assert warnings_of(log, tmp_path) == ()
    source = parse(FilesSource, propose_settings([tmp_path / "log.csv"], {}).patch["source"], "tests")
    assert source.columns.value == "Net Sales"
    assert set(read_source(source, tmp_path, seed=0).events["value"]) == {1403.6}


def test_orders_most_of_which_were_cancelled_at_a_time_are_warned_of(log, tmp_path):
    log["Cancelled at"] = log["timestamp"].where(log.index % 8 != 0)
    (line,) = warnings_of(log, tmp_path)
    assert "Cancelled at is filled in 88% of the rows, which may be orders that came to nothing" in line
    assert "--exclude 'Cancelled at=*' leaves them out" in line


def test_columns_that_cannot_all_be_used_are_named(log, tmp_path):
    log["note"] = None
    assert warnings_of(log, tmp_path) == ()
    text = (tmp_path / "log.csv").read_text().replace(",note", ",event", 1)
    (tmp_path / "log.csv").write_text(text)
    found = propose_settings([tmp_path / "log.csv"], {}).warnings
    assert any("two columns are called event; the first is read" in line for line in found)


def test_empty_users_are_guests_even_beside_a_large_customer(log, tmp_path):
    log.loc[log.index % 4 == 0, "user_id"] = None
    log.loc[log.index % 5 == 0, "user_id"] = "100"
    assert any(line.endswith("--guest ''") for line in warnings_of(log, tmp_path))


def test_each_of_several_guests_is_asked_about_until_it_is_given(log, tmp_path):
    log.loc[log.index % 4 == 0, "user_id"] = "-1"
    log.loc[log.index % 4 == 1, "user_id"] = "no log-in"
    first, second = sorted(warnings_of(log, tmp_path))
    assert first.endswith("--guest -1")
    assert second.endswith("--guest 'no log-in'")
    assert warnings_of(log, tmp_path, guests=["-1"]) == (second,)
    assert warnings_of(log, tmp_path, guests=["-1", "no log-in"]) == ()


def test_a_long_text_does_not_need_its_length_in_every_row(log, tmp_path):
    big = pd.concat([log] * 50, ignore_index=True)
    big["note"] = ["x" * 500_000, *["y"] * (len(big) - 1)]
    assert warnings_of(big, tmp_path) == ()


def test_a_large_customer_is_no_guest(log, tmp_path):
    log.loc[log.index % 40 == 0, "user_id"] = "100"
    assert warnings_of(log, tmp_path) == ()


def test_items_that_are_no_products_are_named_with_their_rows(log, tmp_path):
    titles = [f"Mug number {n}" for n in range(40)]
    titles[7], titles[9] = "DOTCOM POSTAGE", "Versandkosten"
    log.loc[log.index % 10 == 0, "item_id"] = "9"
    rows = log["item_id"].value_counts()
    (line,) = warnings_of(log, tmp_path, pd.DataFrame({"item_id": range(40), "title": titles}))
    assert f"9 'Versandkosten' ({rows['9']} rows), 7 'DOTCOM POSTAGE' ({rows['7']} rows)" in line
    assert "review block" in line
