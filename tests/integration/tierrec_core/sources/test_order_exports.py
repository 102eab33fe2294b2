"""Exports of orders, a row for each line: cells that only the first line of an order has, and what a value is worth."""

import numpy as np
import pandas as pd
import pytest

from tests.support.order_exports import GERMAN, OF_ORDER, SHOPIFY, key, order_lines, proposed
from tierrec_core.base.errors import MissingColumnError
from tierrec_core.sources.files import read_files


@pytest.mark.parametrize("names", [SHOPIFY, GERMAN], ids=["shopify", "german"])
@pytest.mark.parametrize(
    "blank", [OF_ORDER, (*OF_ORDER, "time"), (*OF_ORDER, "time", "order")], ids=lambda names: names[-1]
)
@pytest.mark.parametrize("line_total", [False, True], ids=["unit price", "line total"])
def test_lines_of_an_order_have_its_user_its_time_and_their_own_worth(names, blank, line_total, tmp_path):
    written, frame = order_lines(names, blank=blank, line_total=line_total)
    _, source = proposed(written, tmp_path)
    assert source.order_lines
    assert source.unit_price is not line_total
    assert source.columns.session == names["order"]
    assert source.columns.event is None
    read = read_files(source, tmp_path).events
    expected = frame[["user", "item", "time", "order"]].assign(worth=frame["worth"].round(2))
    found = read[["user_id", "item_id", "timestamp", "session_id"]].assign(worth=read["value"].round(2))
    assert key(found) == key(expected)


def test_the_order_of_rows_does_not_matter(tmp_path):
    written, _ = order_lines(SHOPIFY, blank=("user", "time"))
    _, source = proposed(written, tmp_path)
    events = [read_files(source, tmp_path).events]
    written.sample(frac=1, random_state=1).to_csv(tmp_path / "orders.csv", index=False)
    events.append(read_files(source, tmp_path).events)
    one, other = (frame[["user_id", "item_id", "timestamp", "value"]] for frame in events)
    assert key(one) == key(other)


def test_what_was_seen_is_shown(tmp_path):
    written, _ = order_lines(SHOPIFY, blank=("user", "status", "sum"))
    proposal, _ = proposed(written, tmp_path)
    shown = {guess.place: guess for guess in proposal.guesses}
    assert "only the first of an order has Email, Financial Status, Total" in shown["session"].evidence
    assert shown["unit_price"].value == "true"
    assert "seen on 30 items" in shown["unit_price"].evidence


def test_full_orders_are_read_as_they_stand(tmp_path):
    written, frame = order_lines(SHOPIFY)
    _, source = proposed(written, tmp_path)
    assert not source.order_lines
    assert read_files(source, tmp_path).events["user_id"].tolist() == frame["user"].tolist()


def test_orders_in_a_log_of_visits_are_not_carried_down(tmp_path):
    """As in Retailrocket's log: only purchases have an order, and a sum."""
    written, frame = order_lines(GERMAN)
    is_sale = (frame["place"] == 0) & (np.arange(len(frame)) % 3 == 0)
    written.loc[~is_sale, ["Bestellnummer", "Bestellsumme", "Zahlung"]] = None
    _, source = proposed(written, tmp_path)
    assert not source.order_lines


def test_cells_that_are_missing_at_random_are_not_carried_down(tmp_path):
    written, frame = order_lines(SHOPIFY)
    gaps = np.random.default_rng(0).random(len(written)) < 0.3
    written.loc[gaps, "Email"] = None
    _, source = proposed(written, tmp_path)
    assert not source.order_lines
    assert read_files(source, tmp_path).events["user_id"].isna().sum() == gaps.sum()
    assert len(frame) == len(written)


def test_an_empty_column_is_not_of_orders(tmp_path):
    written, frame = order_lines(SHOPIFY)
    written = written.assign(Store="A", Note=None, Tag=["x", *[None] * (len(written) - 1)])
    written.loc[::9, "Email"] = None
    _, source = proposed(written, tmp_path)
    assert not source.order_lines
    events = read_files(source, tmp_path).events
    expected = frame[["item", "time"]].assign(user=written["Email"].fillna(""))
    assert key(events[["item_id", "timestamp"]].assign(user=events["user_id"].fillna(""))) == key(expected)


@pytest.mark.parametrize("names", [SHOPIFY, SHOPIFY | {"order": "Order ID"}], ids=["by user and time", "by order"])
def test_the_total_of_an_order_is_not_the_value_of_its_items(names, tmp_path):
    written, frame = order_lines(names)
    written["Total"] = frame.groupby("order")["worth"].transform("sum")
    _, source = proposed(written, tmp_path)
    assert source.columns.value == "Lineitem price"
    read = read_files(source, tmp_path).events
    expected = frame[["user", "item", "time"]].assign(worth=frame["worth"].round(2))
    assert key(read[["user_id", "item_id", "timestamp"]].assign(worth=read["value"].round(2))) == key(expected)


LISTS = {"numbered": None, "semicolons": ";", "bars": " | ", "commas": ", "}


@pytest.mark.parametrize("mark", LISTS.values(), ids=LISTS)
def test_one_row_per_item_is_wanted(mark, tmp_path):
    _, frame = order_lines(SHOPIFY)
    baskets = frame.groupby(["order", "user", "time"])["item"].agg(list).reset_index()
    items = pd.DataFrame(baskets["item"].tolist()).rename(columns=lambda place: f"item_{place + 1}")
    orders = baskets.drop(columns="item")
    written = orders.join(items) if mark is None else orders.assign(Products=baskets["item"].map(mark.join))
    said = r"item_1, item_2, item_3 have an item each" if mark is None else r"Products has lists of items such as 'SKU"
    with pytest.raises(MissingColumnError, match=said + ".*wanted one row per item"):
        proposed(written, tmp_path)


def test_a_name_with_a_mark_is_no_list(tmp_path):
    written, _ = order_lines(SHOPIFY | {"item": "Product"})
    written["Product"] = written["Product"] + ";red;M"
    written["Product tags"] = np.resize([f"t{n};t{(n + 1) % 9}" for n in range(9)], len(written))
    assert proposed(written, tmp_path)[1].columns.item == "Product"


TITLES = {
    "a kind before it": [
        "Apple",
        "Banana",
        "Cherry",
        "Lemon",
        "Juice, Apple",
        "Juice, Banana",
        "Jam, Cherry",
        "Jam, Lemon",
    ],
    "its colour behind": ["Mug, red", "Mug, blue", "Cap, red", "Red, a novel", "Blue", "Pen, blue", "Ink, blue", "red"],
    "thousands": ["1,125", "1,250", "125", "250", "375", "2,375", "1", "2", "3,125"],
    "decimals": ["Screw 3,5", "Screw 4,5", "Nail 5", "5", "4", "3", "Bolt 2,5", "7"],
}


@pytest.mark.parametrize("titles", TITLES.values(), ids=TITLES)
def test_a_title_with_a_comma_is_no_list(titles, tmp_path):
    written, _ = order_lines(SHOPIFY | {"item": "Product"})
    written["Product"] = np.resize(titles, len(written))
    _, source = proposed(written, tmp_path)
    assert set(read_files(source, tmp_path).events["item_id"]) == set(titles)


def test_receipts_whose_numbers_restart_each_day_are_told_by_day_and_user(tmp_path):
    """As of two tills, each of which starts with number 1 every day."""
    written, frame = order_lines(GERMAN)
    orders = frame.drop_duplicates("order").set_index("order")["time"]
    number = frame["order"].map(orders.groupby(orders.dt.date).cumcount() // 2 + 1)
    proposal, source = proposed(written.assign(Bestellnummer=number), tmp_path)
    shown = next(guess for guess in proposal.guesses if guess.place == "daily_sessions")
    assert (shown.override, source.columns.session) == ("source.daily_sessions", "Bestellnummer")
    read = read_files(source, tmp_path).events
    expected = frame.groupby("order")[["item", "user"]].agg(sorted)
    found = read.groupby("session_id")[["item_id", "user_id"]].agg(sorted)
    assert sorted(found.to_numpy().tolist()) == sorted(expected.to_numpy().tolist())


def test_the_number_of_a_line_is_no_order(tmp_path):
    written, _ = order_lines(SHOPIFY | {"order": "id_order"})
    written.insert(0, "id_order_detail", range(len(written)))
    written.insert(1, "order_state", "done")
    assert proposed(written, tmp_path)[1].columns.session == "id_order"
    again = written.rename(columns={"id_order_detail": "order_line_id", "id_order": "order_number"})
    assert proposed(again, tmp_path)[1].columns.session == "order_number"


def test_numbers_of_lines_are_not_items(tmp_path):
    written, frame = order_lines(SHOPIFY | {"item": "SKU", "price": "Item Cost", "order": "Order Number"})
    written = written.drop(columns="Total").assign(**{"Item #": frame["place"] + 1})
    _, source = proposed(written, tmp_path)
    assert (source.columns.item, source.columns.value) == ("SKU", "Item Cost")


def test_a_line_without_a_quantity_is_one_piece(tmp_path):
    written, frame = order_lines(SHOPIFY, blank=("user", "sum"))
    empty = frame.index % 10 == 0
    written.loc[empty, "Lineitem quantity"] = None
    _, source = proposed(written, tmp_path)
    assert source.unit_price
    read = read_files(source, tmp_path).events
    assert sorted(read["value"][read["quantity"].isna()]) == sorted(frame["price"][empty])
