"""Column names and cells as in exports of shop systems and in public data sets, each with what is odd about it."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.errors import DataError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings

NUM_ROWS, NUM_ITEMS = 360, 30


@pytest.fixture(scope="module")
def lines():
    """Lines of orders, two each, with the price of a piece and the number of pieces."""
    rng = np.random.default_rng(11)
    order, item = np.arange(NUM_ROWS) // 2, rng.permutation(np.arange(NUM_ROWS) % NUM_ITEMS)
    times = pd.Timestamp("2024-01-05 09:30") + pd.to_timedelta(order * 9, unit="h")
    prices = np.round(rng.uniform(3, 90, NUM_ITEMS), 2)
    columns = {"order": order, "user": rng.integers(0, 40, NUM_ROWS // 2)[order], "item": item, "time": times}
    return pd.DataFrame(columns | {"pieces": rng.integers(1, 4, NUM_ROWS), "price": prices[item]})


def read(frame, folder):
    """The columns that are proposed, and the events that are read."""
    frame.to_csv(folder / "log.csv", index=False)
    source = parse(FilesSource, propose_settings([folder / "log.csv"], {}).patch["source"], "tests")
    return source.columns, read_files(source, folder).events


WRITTEN = {"eBay": ("%d-%b-%y", "D"), "Tianchi": ("%Y-%m-%d %H", "h"), "shops in France": ("%d/%m/%Y %Hh%M", "min")}


@pytest.mark.parametrize(("pattern", "unit"), WRITTEN.values(), ids=WRITTEN)
def test_times_as_some_write_them(pattern, unit, lines, tmp_path):
    columns, events = read(lines.assign(Sold=lines["time"].dt.strftime(pattern)).drop(columns="time"), tmp_path)
    assert columns.timestamp == "Sold"
    assert events["timestamp"].dt.tz_localize(None).tolist() == lines["time"].dt.floor(unit).tolist()


def test_ids_of_two_numbers_with_a_point_are_no_times(lines, tmp_path):
    """As GA writes user_pseudo_id, beside a user_id of those who logged in."""
    pseudo = (lines["user"] + 1_234_567_890).astype(str) + "." + (lines["user"] + 1_700_000_000).astype(str)
    logged_in = lines["user"].where(lines["user"] % 8 == 0)
    columns, events = read(lines.drop(columns="user").assign(user_pseudo_id=pseudo, user_id=logged_in), tmp_path)
    assert columns.user == "user_pseudo_id"
    assert set(events["user_id"]) == set(pseudo)


def test_an_amount_of_pieces_is_no_value(lines, tmp_path):
    """As Ta-Feng calls the pieces AMOUNT."""
    total = (lines["price"] * lines["pieces"]).round(2)
    written = lines.drop(columns=["price", "pieces"]).assign(AMOUNT=lines["pieces"], SALES_PRICE=total)
    _, events = read(written, tmp_path)
    assert np.isclose(events["value"].sum(), total.sum())


def test_a_channel_of_sales_is_no_order(lines, tmp_path):
    """As H&M has sales_channel_id and no order."""
    columns, _ = read(lines.drop(columns="order").assign(sales_channel_id=lines["order"] % 2 + 1), tmp_path)
    assert (columns.channel, columns.session) == ("sales_channel_id", None)


def test_the_sum_of_a_line_is_its_value(lines, tmp_path):
    """As Lightspeed calls the price Retail, and its product with the quantity Subtotal."""
    written = lines.rename(columns={"price": "Retail", "pieces": "Qty"})
    columns, _ = read(written.assign(Subtotal=(lines["price"] * lines["pieces"]).round(2)), tmp_path)
    assert columns.value == "Subtotal"


def test_a_quantity_that_is_left_is_no_returned_one(lines, tmp_path):
    """As WooCommerce's exports have Quantity (- Refund)."""
    left = lines["pieces"] - (lines["order"] % 9 == 0)
    _, events = read(lines.rename(columns={"pieces": "Quantity"}).assign(**{"Quantity (- Refund)": left}), tmp_path)
    assert events["quantity"].sum() == lines["pieces"].sum()


def test_a_time_that_is_called_as_values_are_is_no_value(lines, tmp_path):
    lines[["order", "user", "item"]].assign(sold_at=lines["time"]).to_csv(tmp_path / "log.csv", index=False)
    assert propose_settings([tmp_path / "log.csv"], {}).warnings == ()


def test_who_sells_is_no_user(lines, tmp_path):
    """As Vend has the cashier as User, beside the code of the customer."""
    columns, _ = read(lines.rename(columns={"user": "Customer Code"}).assign(User=lines["item"] % 3), tmp_path)
    assert columns.user == "Customer Code"


def test_codes_that_blanks_join_are_no_item(lines, tmp_path):
    """As MIND lists what was shown and clicked."""
    shown = [" ".join(f"N{item}-{n % 2}" for n in range(2 + item % 3)) for item in lines["item"]]
    with pytest.raises(DataError, match="wanted a column of item ids"):
        read(lines[["user", "time"]].assign(impressions=shown), tmp_path)
    with pytest.raises(DataError, match="item has several values in a cell such as 'N"):
        read(lines[["user", "time"]].assign(item=shown), tmp_path)


def test_what_users_did_without_an_item_is_no_table_of_users(lines, tmp_path):
    """As Diginetica has the views of items in one file, and in another purchases that name none."""
    views = lines[["order", "user", "item", "time"]]
    paths = [tmp_path / "views.csv", tmp_path / "purchases.csv"]
    for path, frame in zip(paths, (views, views.drop(columns="item")), strict=True):
        frame.to_csv(path, index=False)
    proposal = propose_settings(paths, {})
    assert "users_path" not in proposal.patch["source"]
    assert any("purchases.csv: is not used" in line for line in proposal.warnings)
