"""Logs of many shapes, each as a shop would hand it over: the proposal reads them right, and overrides win."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.errors import MissingColumnError, SettingsError, UnreadableFileError
from tierrec_core.settings import FilesSource, SplitSettings, TaskSettings, parse
from tierrec_core.sources.schema_inference import propose_settings

NUM_ROWS = 2000


def frame(days=180, **columns):
    """Users, items and moments of a log, ordered by time."""
    rng = np.random.default_rng(1)
    moments = pd.Timestamp("2023-03-01") + pd.to_timedelta(np.sort(rng.uniform(0, days, NUM_ROWS)), unit="D")
    base = {"user": rng.integers(1000, 1100, NUM_ROWS), "item": rng.integers(5000, 5080, NUM_ROWS)}
    return pd.DataFrame(base | {"moment": moments.floor("s")} | columns)


def events(*names_and_shares):
    names, shares = zip(*names_and_shares, strict=True)
    return np.random.default_rng(2).choice(names, NUM_ROWS, p=shares)


def german(folder):
    log = frame(Vorgang=events(("Ansicht", 0.7), ("Warenkorb", 0.2), ("Kauf", 0.1)), Menge=1)
    log = log.rename(columns={"user": "Kundennummer", "item": "Artikel-Nr", "moment": "Datum"})
    log["Datum"] = log["Datum"].dt.strftime("%d.%m.%Y %H:%M")
    log.to_csv(folder / "log.csv", sep=";", index=False)
    columns = {"user": "Kundennummer", "item": "Artikel-Nr", "timestamp": "Datum"}
    columns |= {"event": "Vorgang", "quantity": "Menge"}
    kinds = {"Ansicht": "view", "Warenkorb": "cart", "Kauf": "purchase"}
    return {"separator": ";", "columns": columns, "events": kinds}


def retailrocket(folder):
    kinds = events(("view", 0.9), ("addtocart", 0.07), ("transaction", 0.03))
    log = frame(event=kinds, transactionid=pd.array(np.where(kinds == "transaction", 7, None), dtype="Int64"))
    log = log.rename(columns={"user": "visitorid", "item": "itemid"})
    log.insert(0, "timestamp", log.pop("moment").astype("datetime64[ms]").astype("int64"))
    log.to_csv(folder / "log.csv", index=False)
    return {
        "columns": {"user": "visitorid", "item": "itemid", "event": "event", "session": "transactionid"},
        "events": {"view": "view", "addtocart": "cart", "transaction": "purchase"},
        "timestamp_unit": "ms",
    }


def amazon(folder):
    log = frame(days=3000, rating=np.random.default_rng(3).integers(1, 6, NUM_ROWS).astype(float))
    log["item"] = "B00" + log["item"].astype(str)
    log["timestamp"] = log.pop("moment").astype("datetime64[s]").astype("int64")
    log["title"] = [f"review number {row}" for row in range(NUM_ROWS)]
    log.rename(columns={"user": "user_id", "item": "asin"}).to_csv(folder / "log.csv", index=False)
    return {"columns": {"item": "asin", "value": "rating"}, "default_event": "rating", "timestamp_unit": "s"}


def pipes(folder):
    log = frame(action=events(("pv", 0.6), ("fav", 0.2), ("buy", 0.1), ("refund", 0.1)))
    log["moment"] = log["moment"].dt.strftime("%Y-%m-%dT%H:%M:%S+02:00")
    log = log.rename(columns={"user": "cust_no", "item": "sku", "moment": "event_time"})
    log.to_csv(folder / "log.csv", sep="|", index=False)
    return {
        "separator": "|",
        "columns": {"user": "cust_no", "item": "sku", "timestamp": "event_time", "event": "action"},
        "events": {"pv": "view", "fav": "favourite", "buy": "purchase", "refund": "return"},
    }


def parquet(folder):
    log = frame(event_type=events(("view", 0.8), ("cart", 0.2)))
    log["category_code"] = "group " + (log["item"] % 5).astype(str)
    log["price"] = np.round(np.random.default_rng(4).uniform(1, 9, NUM_ROWS), 2)
    log = log.rename(columns={"user": "user_id", "item": "product_id", "moment": "event_time"})
    log.to_parquet(folder / "log.parquet")
    return {
        "columns": {"item": "product_id", "timestamp": "event_time", "event": "event_type", "value": "price"},
        "events": {"view": "view", "cart": "cart"},
        "items_path": str(folder / "log.parquet"),
        "item_columns": {"item": "product_id", "category": "category_code"},
    }


def no_event(folder):
    log = frame(qty=2, amount=3.5).rename(columns={"user": "household_id", "item": "ArticleId"})
    log.rename(columns={"moment": "t_dat"}).to_csv(folder / "log.csv", sep="\t", index=False)
    columns = {"user": "household_id", "item": "ArticleId", "timestamp": "t_dat", "quantity": "qty", "value": "amount"}
    return {"separator": "\t", "columns": columns}


def with_tables(folder):
    log = frame(basket=np.arange(NUM_ROWS) // 2)
    log.rename(columns={"user": "customer", "item": "product", "moment": "ts"}).to_csv(folder / "log.csv", index=False)
    item = np.arange(5000, 5080)
    products = pd.DataFrame({"id": item, "name": [f"Thing, number {i}" for i in item], "price": 0.5 + item})
    products.assign(department=item % 4, maker=item % 7).to_csv(folder / "a_products.csv", index=False)
    people = pd.DataFrame({"id": np.arange(1000, 1100), "age": 33})
    people.to_csv(folder / "people.csv", index=False)
    pd.DataFrame({"product": item, "elsewhere": item + 7}).to_csv(folder / "a_links.csv", index=False)
    pd.DataFrame({"product": [1, 2], "title": ["a", "b"]}).to_csv(folder / "a_strangers.csv", index=False)
    return {
        "columns": {"user": "customer", "item": "product", "timestamp": "ts", "session": "basket"},
        "items_path": str(folder / "a_products.csv"),
        "item_columns": {"item": "id", "title": "name", "category": "department", "brand": "maker", "price": "price"},
        "users_path": str(folder / "people.csv"),
        "user_column": "id",
    }


def proposal_of(log, folder, overrides=None, **csv):
    """What is proposed for a log of one CSV file."""
    log.to_csv(folder / "log.csv", index=False, **csv)
    return propose_settings([folder / "log.csv"], overrides or {})


TARGETS = dict.fromkeys((german, retailrocket, pipes, no_event, with_tables), "purchase")
TARGETS |= {amazon: "rating", parquet: "cart"}


@pytest.mark.parametrize("shape", TARGETS, ids=lambda shape: shape.__name__)
def test_each_shape_is_read_right(shape, tmp_path):
    wanted = shape(tmp_path)
    files = sorted(tmp_path.iterdir())
    proposal = propose_settings(files, {})
    log = str(next(path for path in files if path.stem == "log"))
    assert proposal.patch["source"] == {"kind": "files", "feedback": True, "paths": [log]} | wanted
    assert parse(FilesSource, proposal.patch["source"], "tests").paths == (log,)
    assert parse(SplitSettings, proposal.patch["split"], "tests").target == (TARGETS[shape],)
    shown = {guess.value for guess in proposal.guesses}
    assert set(wanted["columns"].values()) <= shown
    assert all(guess.evidence for guess in proposal.guesses)


@pytest.mark.parametrize("days", [20, 365, 3000])
def test_windows_fit_into_the_log(days, tmp_path):
    tasks = proposal_of(frame(days=days).rename(columns={"moment": "time"}), tmp_path).patch["tasks"]
    for name, raw in tasks.items():
        task = parse(TaskSettings, raw, name)
        assert task.horizon_days <= 0.21 * days
        assert task.windows >= 2
        assert task.windows * task.step_days <= 0.45 * days
        assert task.repeats == (name == "next")


@pytest.mark.parametrize(("num_users", "horizon"), [(320, 182), (3000, 28)])
def test_horizons_leave_enough_users_to_judge(num_users, horizon, tmp_path):
    """Each user buys every 250 days, over three years."""
    first = np.linspace(0, 250, num_users, endpoint=False)
    days = (first[:, None] + 250 * np.arange(5)).ravel()
    log = pd.DataFrame({"user": np.repeat(np.arange(num_users), 5), "item": np.arange(len(days)) % 70})
    log["time"] = pd.Timestamp("2021-01-01") + pd.to_timedelta(days, unit="D")
    log = log[days < 1080].sample(frac=1, random_state=3)
    proposal = proposal_of(log, tmp_path)
    tasks, (_, length, _) = proposal.patch["tasks"], proposal.patch["split"]["by"]["cut"].split()
    assert tasks["next"]["horizon_days"] == horizon
    cut = log["time"].max().floor("D") + pd.Timedelta(days=1 - int(length))
    window = log["time"].between(cut, cut + pd.Timedelta(days=horizon), inclusive="left")
    num_test = log.loc[window & log["user"].isin(log.loc[log["time"] < cut, "user"]), "user"].nunique()
    shown = {guess.place: guess for guess in proposal.guesses}["horizon next"]
    assert shown.evidence == f"{num_test} users have events to judge it by"
    assert shown.override == "tasks.next.horizon_days"
    assert num_test >= 200


@pytest.mark.parametrize(("days", "cut"), [(20, 0.8), (60, "last 7 days"), (365, "last 28 days")])
def test_the_cut_moves_with_a_log_that_is_long_enough(days, cut, tmp_path):
    split = proposal_of(frame(days=days).rename(columns={"moment": "time"}), tmp_path).patch["split"]
    assert parse(SplitSettings, split, "tests").by.cut == cut


@pytest.mark.parametrize(
    ("written", "name"), [("%d/%m/%Y", "31/12/2024"), ("%m/%d/%Y", "12/31/2024"), ("%Y%m%d", "20241231")]
)
def test_a_year_of_days_shows_how_they_are_written(written, name, tmp_path):
    log = frame(days=360).rename(columns={"moment": "time"})
    proposal = proposal_of(log.assign(time=log["time"].dt.strftime(written)), tmp_path)
    guesses = {guess.place: guess for guess in proposal.guesses}
    assert guesses["timestamp"].value == "time"
    assert guesses["timestamp"].evidence.startswith(f"dates like {name};")


def test_ids_of_64_bits_are_no_times(tmp_path):
    log = frame().rename(columns={"moment": "time"})
    log["user"] = log["user"].astype("uint64") + np.uint64(18_000_000_000_000_000_000)
    log.to_csv(tmp_path / "log.csv", index=False)
    log.to_parquet(tmp_path / "log.parquet")
    for path in tmp_path.iterdir():
        columns = propose_settings([path], {}).patch["source"]["columns"]
        assert columns == {"user": "user", "item": "item", "timestamp": "time"}


@pytest.mark.parametrize("name", ["product_gross_revenue", "Amount incl. tax", "amountWithoutDiscount"])
def test_coupons_taxes_and_shipping_are_no_sales(name, tmp_path):
    amounts = {"coupon_amount": 0, "tax_amount": 1.5, "shipping total": 4.9, name: np.linspace(5, 50, NUM_ROWS)}
    frame(**amounts).rename(columns={"moment": "time"}).to_csv(tmp_path / "log.csv", index=False)
    assert propose_settings([tmp_path / "log.csv"], {}).patch["source"]["columns"]["value"] == name


def test_truth_values_are_no_ids(tmp_path):
    log = frame(is_user=True, item_new=np.arange(NUM_ROWS) % 2 == 0).rename(columns={"moment": "time"})
    log.to_json(tmp_path / "log.jsonl", orient="records", lines=True)
    log.to_parquet(tmp_path / "log.parquet")
    for path in tmp_path.iterdir():
        columns = propose_settings([path], {}).patch["source"]["columns"]
        assert columns == {"user": "user", "item": "item", "timestamp": "time"}


def test_groupings_of_the_catalogue_are_attributes(tmp_path):
    with_tables(tmp_path)
    patch = propose_settings(sorted(tmp_path.iterdir()), {}).patch
    assert patch["blend"]["next"] == patch["blend"]["discovery"] == {"attributes": ["category", "brand"]}


def test_files_of_one_shape_are_one_log(tmp_path):
    log = frame(days=60, subset=events(("train", 0.8), ("test", 0.2))).rename(columns={"moment": "time"})
    for month, rows in log.groupby(log["time"].dt.month):
        rows.to_csv(tmp_path / f"{month}.csv", index=False)
    files = sorted(tmp_path.iterdir())
    patch = propose_settings(files, {}).patch
    assert len(files) == 2
    assert patch["source"]["paths"] == [str(path) for path in files]
    assert patch["source"]["columns"]["split"] == "subset"
    assert patch["split"]["by"] == {"kind": "given"}


def test_files_of_single_days_are_read_alike(tmp_path):
    log = frame(days=1).rename(columns={"moment": "time"})
    for name, day in (("a", "03/04/2024"), ("b", "03/31/2024")):
        log.assign(time=day + log["time"].dt.strftime(" %H:%M")).to_csv(tmp_path / f"{name}.csv", index=False)
    proposal = propose_settings(sorted(tmp_path.iterdir()), {})
    (time,) = [guess for guess in proposal.guesses if guess.place == "timestamp"]
    assert time.evidence.startswith("dates like 12/31/2024;")
    days = parse(TaskSettings, proposal.patch["tasks"]["discovery"], "tests").horizon_days
    assert 1 <= days <= 0.21 * 28


def test_every_override_wins(tmp_path):
    log = frame(kind=events(("buy", 0.5), ("zap", 0.5)), user_id=1, item_id=2, event="view", time="2024-01-01")
    pd.DataFrame({"key": np.arange(5000, 5080)}).to_csv(tmp_path / "goods.csv", sep=";", index=False)
    overrides = {
        "user_column": "user",
        "item_column": "item",
        "event_column": "kind",
        "time_column": "moment",
        "events": {"zap": "click", "buy": "cart"},
        "separator": ";",
        "timezone": "Europe/Berlin",
        "items_path": str(tmp_path / "goods.csv"),
    }
    source = proposal_of(log, tmp_path, overrides, sep=";").patch["source"]
    assert source["columns"] == {"user": "user", "item": "item", "timestamp": "moment", "event": "kind"}
    assert source["events"] == {"zap": "click", "buy": "cart"}
    assert (source["separator"], source["timezone"]) == (";", "Europe/Berlin")
    assert source["items_path"] == overrides["items_path"]
    assert source["item_columns"] == {"item": "key"}


@pytest.mark.parametrize(
    ("lost", "flag"), [("user", "--user-column"), ("item", "--item-column"), ("moment", "--time-column")]
)
def test_a_missing_column_names_the_flag_that_sets_it(lost, flag, tmp_path):
    names = {"user": "user", "item": "item", "moment": "time"} | {lost: "xyzzy"}
    log = frame().rename(columns=names).assign(xyzzy="a")
    with pytest.raises(MissingColumnError, match=flag):
        proposal_of(log, tmp_path)


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        ({"user_column": "nobody"}, MissingColumnError, "--user-column nobody is not a column"),
        ({"user_colum": "user"}, SettingsError, "user_colum: unknown key; did you mean 'user_column'"),
        ({"time_column": "item"}, MissingColumnError, r"--time-column item: .* which are not times"),
    ],
)
def test_an_override_that_does_not_fit_is_named(overrides, error, message, tmp_path):
    with pytest.raises(error, match=message):
        proposal_of(frame(), tmp_path, overrides)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "is empty"),
        ("log.parquet", b"no parquet", "cannot be read as Parquet"),
        ("headless.csv", b"17,4,881250949\n18,5,881250950\n", "wanted a line of column names"),
        (
            "headless.tsv",
            b"u1\t2024-01-10T10:00:00Z\ts1\nu2\t2024-01-11T10:00:00Z\ts2\n",
            "wanted a line of column names",
        ),
        (
            "headless_day.csv",
            b"2024-01-03,C1,S1\n2024-01-04,C2,S2\n",
            "has '2024-01-03', wanted a line of column names",
        ),
        ("headless_codes.csv", b"3 Jan,C01,S-1\n4 Jan,C02,S-2\n", "wanted a line of column names"),
        ("rowless.csv", b"user,item,time\n", "no row"),
        ("nowhere.csv", None, "is not a file"),
    ],
)
def test_unreadable_files_say_what_to_do(name, content, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableFileError, match=said):
        propose_settings([tmp_path / name], {})
