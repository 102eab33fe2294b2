"""Files that together are one log, and files whose ids do not match: nothing is taken for what it is not."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.errors import DataError, MissingColumnError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings

NUM_ROWS = 300


def written(folder, name, year, names, **further):
    """A log of one year with these names of its columns."""
    rng = np.random.default_rng(year)
    moments = pd.Timestamp(f"{year}-01-05") + pd.to_timedelta(np.arange(NUM_ROWS), unit="D")
    columns = [rng.integers(100, 130, NUM_ROWS), rng.integers(10, 30, NUM_ROWS), moments]
    frame = pd.DataFrame(dict(zip(names, columns, strict=True))).assign(**further)
    frame.to_csv(folder / name, index=False)
    return folder / name


def read(folder, paths, **overrides):
    proposal = propose_settings(paths, overrides)
    source = parse(FilesSource, proposal.patch["source"], "tests")
    return proposal, source, read_files(source, folder)


def test_years_with_other_column_names_are_one_log(tmp_path):
    first = written(tmp_path, "a.csv", 2024, ["Client", "Sku", "OrderDate"], UnitPrice=2.5)
    second = written(tmp_path, "b.csv", 2025, ["Client ID", "SkuCode", "OrderDate"], Price=3.5)
    proposal, source, frames = read(tmp_path, [first, second])
    assert source.columns.user == ("Client", "Client ID")
    assert source.items_path is None
    assert {guess.place for guess in proposal.guesses} >= {"user in b.csv", "item in b.csv", "value in b.csv"}
    assert len(frames.events) == 2 * NUM_ROWS
    assert frames.events["value"].tolist() == [2.5] * NUM_ROWS + [3.5] * NUM_ROWS


def test_a_column_that_only_some_files_have_is_empty_in_the_others(tmp_path):
    names = ["user_id", "item_id", "timestamp"]
    paths = [
        written(tmp_path, "a.csv", 2023, names, qty=2),
        written(tmp_path, "b.csv", 2024, names),
        written(tmp_path, "c.csv", 2025, names, channel="web"),
    ]
    _, source, frames = read(tmp_path, paths)
    assert source.items_path is None
    assert frames.events["quantity"].notna().sum() == frames.events["channel"].notna().sum() == NUM_ROWS
    assert len(frames.events) == 3 * NUM_ROWS
    unknown = source.model_copy(update={"columns": source.columns.model_copy(update={"value": "paid"})})
    with pytest.raises(MissingColumnError, match=r"'paid' is missing.*\n.*source\.columns\.value"):
        read_files(unknown, tmp_path)


@pytest.mark.parametrize("forced", [True, False])
def test_ids_without_their_zeros_are_refused(forced, tmp_path):
    log = written(tmp_path, "log.csv", 2024, ["user_id", "item_id", "timestamp"])
    goods = tmp_path / "goods.csv"
    pd.DataFrame({"item_id": [f"{n:05}" for n in range(40)], "title": "t"}).to_csv(goods, index=False)
    overrides = {"items_path": str(goods)} if forced else {}
    with pytest.raises(
        DataError, match=r"goods\.csv: .*0% of the item ids in log\.csv.*100% .*without leading zeros.*000"
    ):
        propose_settings([log, goods], overrides)


def test_a_catalogue_of_other_items_is_refused(tmp_path):
    log = written(tmp_path, "log.csv", 2024, ["user_id", "item_id", "timestamp"])
    goods = tmp_path / "goods.csv"
    pd.DataFrame({"item_id": range(7000, 7040), "title": "t"}).to_csv(goods, index=False)
    with pytest.raises(DataError, match=r"goods\.csv: .*0% of the item ids in log\.csv"):
        propose_settings([log], {"items_path": str(goods)})


@pytest.mark.parametrize("key", ["user_id", "Ref", "kid"])
@pytest.mark.parametrize("attribute", ["age", "user_age", "customer_type"])
@pytest.mark.parametrize("num_users", [60, 2000])
def test_ages_are_no_key_of_users(key, attribute, num_users, tmp_path):
    log = written(tmp_path, "log.csv", 2024, ["user_id", "item_id", "timestamp"])
    ages = 18 + np.random.default_rng(2).integers(0, 110, num_users)
    table = pd.DataFrame({attribute: ages, key: [f"p{n}" for n in range(num_users)]})
    table.to_csv(tmp_path / "users.csv", index=False)
    proposal, source, _ = read(tmp_path, [log, tmp_path / "users.csv"])
    assert source.users_path is None
    assert [line for line in proposal.warnings if "users.csv: is not used: " in line] == list(proposal.warnings)
    if key == "user_id":
        assert "user_id has 0% of the user ids in log.csv: here p0, p1, there 1" in proposal.warnings[0]
    with pytest.raises(DataError, match=r"users\.csv: \w+ has 0% of the user ids in log\.csv: here .*, there 1"):
        propose_settings([log], {"users_path": str(tmp_path / "users.csv")})


def test_a_key_of_small_numbers_without_a_name_is_found(tmp_path):
    log = written(tmp_path, "log.csv", 2024, ["user_id", "item_id", "timestamp"])
    table = pd.DataFrame({"age": 100 + np.arange(30) % 9, "kid": range(100, 130)})
    table.to_csv(tmp_path / "users.csv", index=False)
    _, source, frames = read(tmp_path, [log, tmp_path / "users.csv"])
    assert source.user_column == "kid"
    assert set(frames.events["user_id"]) == set(frames.users["user_id"])


WRITTEN = ("anna.{n}@shop.test", "Anna.{n}@Shop.TEST", "anna.{n}@shop.test\u200b", "\ufeffanna.{n}@shop.test\xa0")


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_one_user_whose_address_is_written_in_several_ways_is_one(suffix, tmp_path):
    users = [WRITTEN[row % 4].format(n=row // 4 % 9) for row in range(NUM_ROWS)]
    log = pd.read_csv(written(tmp_path, "log.csv", 2024, ["user_id", "item_id", "timestamp"]))
    log = log.assign(user_id=users, item_id="SKU  " + log["item_id"].astype(str))
    path, table = tmp_path / f"log.{suffix}", tmp_path / "users.csv"
    save = {"csv": log.to_csv, "parquet": log.to_parquet, "jsonl": log.to_json}[suffix]
    save(path, **({"orient": "records", "lines": True} if suffix == "jsonl" else {"index": False}))
    pd.DataFrame({"Email": [f"ANNA.{n}@SHOP.test" for n in range(9)], "age": range(30, 39)}).to_csv(table, index=False)
    proposal, _, frames = read(tmp_path, [path, table])
    one_each = {f"anna.{n}@shop.test" for n in range(9)}
    assert set(frames.events["user_id"]) == set(frames.users["user_id"]) == one_each
    assert set(frames.events["item_id"]) == {f"SKU {n}" for n in range(10, 30)}
    shown = next(guess.evidence for guess in proposal.guesses if guess.place == "user")
    assert shown.endswith("is read as 'anna.0@shop.test', by which 27 ids are equal to others")


CODES = np.array(["1", "3", "4"])


def test_event_codes_are_asked_for(tmp_path):
    names = ["user_id", "item_id", "time"]
    path = written(tmp_path, "log.csv", 2024, names, behavior_type=CODES[np.arange(NUM_ROWS) % 3])
    with pytest.raises(
        DataError, match=r"behavior_type.*1 \(100 rows\), 3 \(100 rows\), 4 \(100 rows\)\n.*--event 1=EVENT.*1=ignore"
    ):
        propose_settings([path], {})
    _, source, frames = read(tmp_path, [path], events={"1": "view", "3": "cart", "4": "purchase"})
    assert source.columns.event == "behavior_type"
    assert frames.events["event"].value_counts().to_dict() == {"view": 100, "cart": 100, "purchase": 100}


def test_an_unknown_event_beside_known_ones_is_asked_for(tmp_path):
    kinds = np.resize(["View Product", "Ponder", "remove_from_cart"], NUM_ROWS)
    path = written(tmp_path, "log.csv", 2024, ["user_id", "item_id", "time"], event=kinds)
    with pytest.raises(DataError, match=r"not known: Ponder \(100 rows\)\n.*--event Ponder=EVENT"):
        propose_settings([path], {})
    _, _, frames = read(tmp_path, [path], events={"Ponder": "click"})
    assert frames.events["event"].value_counts().to_dict() == {"view": 100, "click": 100}


def test_a_status_is_no_event(tmp_path):
    path = written(tmp_path, "log.csv", 2024, ["user_id", "item_id", "time"], Status="paid")
    _, source, _ = read(tmp_path, [path])
    assert source.columns.event is None


@pytest.mark.parametrize(
    "other",
    [
        {"product_id": np.arange(60) % 20, "date": "2024-06-12", "warehouse_id": np.arange(60) % 3},
        {"customer_id": np.arange(20) % 7, "product_id": np.arange(20), "start_date": "2024-03-03", "price": 9.9},
    ],
    ids=["several rows of an item", "a column of users"],
)
def test_a_log_of_another_kind_is_no_catalogue(tmp_path, other):
    rng = np.random.default_rng(2)
    orders = pd.DataFrame({"customer_id": rng.integers(0, 30, 300), "product_id": rng.integers(0, 20, 300)})
    orders["order_date"] = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(300), unit="h")
    paths = [tmp_path / "orders.csv", tmp_path / "other.csv"]
    for path, frame in zip(paths, (orders, pd.DataFrame(other)), strict=True):
        frame.to_csv(path, index=False)
    proposal = propose_settings(paths, {})
    assert "items_path" not in proposal.patch["source"]
    assert any("other.csv: is not used" in warning for warning in proposal.warnings)
