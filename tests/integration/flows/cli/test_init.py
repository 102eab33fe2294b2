"""Files that nobody described: `tierrec init` says how to read them, and `ingest` then finds the true events."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.support.commands import tierrec
from tests.support.projects import ROOT
from tierrec_core import sources
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import FilesSource, parse, read_settings

ROWS = 600
KINDS = np.array(["view", "cart", "purchase"])


@pytest.fixture(scope="module")
def truth():
    """What happened: 600 events of 40 users and 25 items over half a year, to the minute."""
    rng = np.random.default_rng(5)
    minutes = np.sort(rng.choice(180 * 24 * 60, ROWS, replace=False))
    return pd.DataFrame(
        {
            "user_id": rng.integers(0, 40, ROWS),
            "item_id": rng.integers(0, 25, ROWS),
            "event": rng.choice(KINDS, ROWS, p=[0.6, 0.3, 0.1]),
            "timestamp": pd.Timestamp("2024-01-05", tz="UTC") + pd.to_timedelta(minutes, unit="min"),
        }
    )


def german(truth, folder):
    """Semicolons, an id with zeros in front, days first, local time, and a kind of event that is not ours."""
    told = truth.assign(user_id=truth["user_id"].map("{:05d}".format), item_id="art" + truth["item_id"].astype(str))
    log = pd.DataFrame(
        {
            "Kundennummer": told["user_id"],
            "Artikel-Nr": told["item_id"],
            "Vorgang": told["event"].map({"view": "Ansicht", "cart": "Warenkorb", "purchase": "Kauf"}),
            "Datum": told["timestamp"].dt.tz_convert("Europe/Berlin").dt.strftime("%d.%m.%Y %H:%M"),
        }
    )
    log = pd.concat([log, log[:20].assign(Vorgang="[/b] Newsletter")])
    log.to_csv(folder / "log.csv", sep=";", index=False)
    return told, ["log.csv", "--timezone", "Europe/Berlin", "--event", "[/b] Newsletter=ignore"]


def american(truth, folder):
    """Pipes, months first, and an event that only a person can name."""
    kinds = {"view": "pv", "cart": "basket", "purchase": "zap"}
    stamp = truth["timestamp"].dt.strftime("%m/%d/%Y %H:%M")
    truth.assign(action=truth["event"].map(kinds), when=stamp).drop(columns=["event", "timestamp"]).to_csv(
        folder / "log.csv", sep="|", index=False
    )
    return truth, ["log.csv", "--time-column", "when", "--event", "zap=purchase"]


def warehouse(truth, folder):
    """Parquet with ids beyond 2^53 that may be null, naive times, and items described in the log itself."""
    told = truth.assign(user_id=truth["user_id"] + 2**60, item_id=truth["item_id"] + 2**55)
    log = told.rename(columns={"item_id": "product_id", "event": "event_type", "timestamp": "event_time"})
    log = log.astype({"user_id": "Int64", "product_id": "Int64"})
    log["event_time"] = log["event_time"].dt.tz_localize(None)
    log["category_code"] = pd.Series("group " + (truth["item_id"] % 5).astype(str)).mask(log.index < 10)
    log.to_parquet(folder / "log.parquet")
    return told, ["log.parquet"]


def receipts(truth, folder):
    """Tabs, compact days, sales alone, and files of products and people beside them."""
    told = truth.assign(event="purchase", timestamp=truth["timestamp"].dt.floor("D"))
    log = told.rename(columns={"user_id": "customer", "item_id": "product"}).drop(columns="event")
    log = log.assign(day=log.pop("timestamp").dt.strftime("%Y%m%d"))
    log.to_csv(folder / "sales.tsv", sep="\t", index=False)
    products = pd.DataFrame({"product": range(25), "name": [f"Thing {n}" for n in range(25)]})
    products.assign(department=products["product"] % 5).to_csv(folder / "products.csv", sep="\t", index=False)
    pd.DataFrame({"customer": range(40), "age": 33}).to_csv(folder / "people.csv", sep="\t", index=False)
    return told, ["sales.tsv", "products.csv", "people.csv"]


def nameless(truth, folder):
    """Columns whose names say nothing: who acts is told by bursts, what is acted on by its variety."""
    visits = truth.assign(visit=np.arange(ROWS) // 3)
    first = visits.groupby("visit")[["user_id", "timestamp"]].transform("first")
    told = truth.assign(
        user_id="p" + (first["user_id"] % 12).astype(str),
        item_id="x" + truth["item_id"].astype(str),
        timestamp=first["timestamp"] + pd.to_timedelta(np.arange(ROWS) % 3, unit="min"),
    )
    kinds = {"view": "look", "cart": "to_cart", "purchase": "paid"}
    log = pd.DataFrame({"a": told["timestamp"], "b": told["item_id"], "c": told["user_id"]})
    log["d"], log["e"] = told["event"].map(kinds), 0.5 + truth["item_id"]
    log.to_csv(folder / "log.csv", index=False)
    return told, ["log.csv"]


def ingested(folder, arguments):
    """The project after `tierrec init` and the stage ingest."""
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    tierrec("init", *arguments, "--yes", folder=folder)
    layout = Layout(folder)
    sources.run(layout, read_settings(layout.params))
    return layout


def ordered(frame):
    names = ["user_id", "item_id", "event"]
    told = frame[names].astype(str).assign(timestamp=frame["timestamp"].astype("datetime64[us, UTC]"))
    return told.sort_values(["timestamp", *names], ignore_index=True)


@pytest.mark.parametrize("shape", [german, american, warehouse, receipts, nameless])
def test_the_true_events_are_found(shape, truth, tmp_path):
    told, arguments = shape(truth, tmp_path)
    layout = ingested(tmp_path, arguments)
    pd.testing.assert_frame_equal(ordered(pd.read_parquet(layout.raw_events)), ordered(told))
    assert read_settings(layout.params).source.kind == "files"


def test_a_log_describes_its_own_items(truth, tmp_path):
    told, arguments = warehouse(truth, tmp_path)
    items = pd.read_parquet(ingested(tmp_path, arguments).raw_items)
    wanted = {str(item): f"group {(item - 2**55) % 5}" for item in told["item_id"].unique()}
    assert dict(zip(items["item_id"], items["category"], strict=True)) == wanted


def test_tables_beside_the_log_are_read(truth, tmp_path):
    _, arguments = receipts(truth, tmp_path)
    layout = ingested(tmp_path, arguments)
    items = pd.read_parquet(layout.raw_items)
    assert dict(zip(items["item_id"], items["title"], strict=True)) == {str(n): f"Thing {n}" for n in range(25)}
    assert dict(zip(items["item_id"], items["category"], strict=True)) == {str(n): str(n % 5) for n in range(25)}
    assert set(pd.read_parquet(layout.raw_users)["user_id"]) == {str(n) for n in range(40)}


def test_a_dry_run_shows_what_would_be_written_and_how_to_override_it(truth, tmp_path):
    _, arguments = german(truth, tmp_path)
    before = (ROOT / "params.yaml").read_bytes()
    with pytest.raises(SettingsError, match=r"params\.yaml: is missing; make a project by `tierrec new myshop`"):
        tierrec("init", *arguments, "--yes", folder=tmp_path)
    (tmp_path / "params.yaml").write_bytes(before)
    proposal = json.loads(tierrec("init", *arguments, "--dry-run", "--json", folder=tmp_path))
    assert (tmp_path / "params.yaml").read_bytes() == before
    overrides = {guess["place"]: guess["override"] for guess in proposal["guesses"]}
    assert overrides["user"] == "--user-column"
    assert overrides["event [/b] Newsletter"] == "--event '[/b] Newsletter=NAME'"
    assert all(guess["evidence"] and guess["override"] for guess in proposal["guesses"])
    tierrec("init", *arguments, "--yes", folder=tmp_path)
    settings = read_settings(tmp_path / "params.yaml")
    assert settings.source == parse(FilesSource, proposal["patch"]["source"], "tests")


@pytest.mark.parametrize(
    ("flags", "lost"),
    [
        ([], {"Cancelled"}),
        (["--exclude", "Status=open"], {"open", "Cancelled"}),
        (["--exclude", "", "--exclude", "Status=open", "--exclude", "Status=paid"], {"open", "paid"}),
        (["--exclude", ""], set()),
    ],
)
def test_rows_of_orders_that_came_to_nothing_are_left_out_unless_a_flag_says_otherwise(flags, lost, truth, tmp_path):
    status = np.array(["paid", "open", "Cancelled"])[np.arange(ROWS) % 3]
    log = truth.drop(columns="event").assign(Status=status)
    log.to_csv(tmp_path / "log.csv", index=False)
    events = pd.read_parquet(ingested(tmp_path, ["log.csv", *flags]).raw_events)
    kept = truth[~np.isin(status, list(lost))].assign(event="purchase")
    pd.testing.assert_frame_equal(ordered(events), ordered(kept))


def test_one_file_has_a_format_of_its_own_and_a_column_is_in_cents(truth, tmp_path):
    """The files are of one day each, whose order nothing shows."""
    log = truth.assign(amount=np.arange(ROWS) * 5 + 100)
    for name, day, pattern in (("a.csv", "2024-03-01", "%d/%m/%Y"), ("b.csv", "2024-03-02", "%m/%d/%Y")):
        log.assign(timestamp=pd.Timestamp(day).strftime(pattern)).to_csv(tmp_path / name, index=False)
    flags = ["--time-format", "%d/%m/%Y", "--time-format", "b.csv=%m/%d/%Y", "--minor-units", "amount"]
    events = pd.read_parquet(ingested(tmp_path, ["a.csv", "b.csv", *flags]).raw_events)
    assert sorted(events["timestamp"].dt.strftime("%Y-%m-%d").unique()) == ["2024-03-01", "2024-03-02"]
    assert np.isclose(events["value"].sum(), 2 * log["amount"].sum() / 100)
    source = read_settings(tmp_path / "params.yaml").source
    assert source.time_format == "%d/%m/%Y"
    assert source.formats["b.csv"].time_format == "%m/%d/%Y"
