"""Rows that take a purchase back: they lower it, whatever the sign of their quantity, and are no purchases."""

import numpy as np
import pandas as pd
import pytest

from tests.support.order_exports import SHOPIFY, key, order_lines, proposed
from tierrec_core.settings import PrepareSettings
from tierrec_core.sources.cleaning import prepare
from tierrec_core.sources.files import read_files

WAYS = {
    "transaction_type": ("Sale", "Return"),
    "Belegart": ("Rechnung", "Gutschrift"),
    "doc_type": ("INV", "CRN"),
    "Document Type": ("Invoice", "Credit Memo"),
    "kind": ("item_sale", "item_return"),
    "Vorgang": ("Verkauf", "Retoure"),
    "type": ("item", "return"),
    "Event Type": ("Payment", "Refund"),
    "is_return": ("0", "1"),
    "Retoure": ("nein", "ja"),
    "Rückgabe": ("N", "J"),
    "zwrot": ("nie", "tak"),
    "SHKZG": ("", "X"),
}


def with_returns(name, quantity_of_returns):
    """Order lines, of which the first in six comes back as a whole, a week later; and the lines that are kept."""
    sale, back = WAYS[name]
    written, frame = order_lines(SHOPIFY)
    is_back = frame.index % 6 == 0
    returns = written[is_back].assign(**{name: back, "Name": "R" + written["Name"]})
    returns["Created at"] = (frame["time"][is_back] + pd.Timedelta("7D")).dt.strftime("%Y-%m-%d %H:%M:%S %z")
    if quantity_of_returns != 1:
        returns["Lineitem quantity"] = returns["Lineitem quantity"].astype(int) * quantity_of_returns
    return pd.concat([written.assign(**{name: sale}), returns]).drop(columns="Total"), frame, is_back


@pytest.mark.parametrize("quantity_of_returns", [1, -1])
@pytest.mark.parametrize("name", WAYS)
def test_a_return_lowers_its_purchase(name, quantity_of_returns, tmp_path):
    written, frame, is_back = with_returns(name, quantity_of_returns)
    proposal, source = proposed(written, tmp_path)
    sale, back = WAYS[name]
    assert source.columns.event == name
    assert source.events == {sale: "purchase", back: "return"}
    shown = next(guess for guess in proposal.guesses if guess.place == f"event {back}")
    assert shown.override.startswith("--event")
    events = read_files(source, tmp_path).events
    returns = events[events["quantity"] < 0]
    assert len(returns) == is_back.sum()
    assert (returns["value"] < 0).all()
    assert events["quantity"].sum() == frame["quantity"][~is_back].sum()
    assert np.isclose(events["value"].sum(), frame["worth"][~is_back].sum())
    assert set(events["event"]) == {"purchase"}


def test_what_the_first_line_of_an_order_says_holds_for_its_others(tmp_path):
    written, _, is_back = with_returns("transaction_type", 1)
    written["zone"] = "America/New_York"
    written["Created at"] = written["Created at"].str.removesuffix(" +0000")
    is_first = ~written["Name"].duplicated()
    of_order = ["Email", "Created at", "transaction_type", "zone"]
    written.loc[~is_first, of_order] = None
    _, source = proposed(written, tmp_path)
    assert (source.order_lines, source.columns.timezone) == (True, "zone")
    events = read_files(source, tmp_path).events
    assert set(events["event"]) == {"purchase"}
    assert (events["quantity"] < 0).sum() == is_back.sum()
    assert set(events["timestamp"].dt.tz_convert("America/New_York").dt.strftime("%M")) == {"30"}
    moments = events[events["quantity"] > 0].groupby("session_id")["timestamp"].nunique()
    assert (moments == 1).all()


def test_what_came_back_is_no_purchase_after_preparation(tmp_path):
    written, frame, is_back = with_returns("transaction_type", 1)
    _, source = proposed(written.drop(columns="Lineitem quantity"), tmp_path)
    kept, report = prepare(read_files(source, tmp_path).events, PrepareSettings())
    assert report.returned_events == 2 * is_back.sum()
    assert len(kept) == (~is_back).sum()
    pairs = frame.groupby(["user", "item"]).size().sub(frame[is_back].groupby(["user", "item"]).size(), fill_value=0)
    found = kept.groupby(["user_id", "item_id"]).size()
    assert key(found.reset_index(name="rows")) == key(pairs[pairs > 0].astype(int).reset_index(name="rows"))


def test_charges_beside_sales_and_returns_are_no_events(tmp_path):
    written, frame, is_back = with_returns("kind", 1)
    charges = written.drop_duplicates("Name").assign(kind="shipping")
    _, source = proposed(pd.concat([written, charges]), tmp_path)
    assert source.events["shipping"] == "ignore"
    assert len(read_files(source, tmp_path).events) == len(frame) + is_back.sum()


def test_a_refund_in_a_log_of_visits_lowers_the_purchase_of_its_item(tmp_path):
    written, frame = order_lines(SHOPIFY)
    written["event_name"] = np.resize(["view_item", "purchase", "refund"], len(written))
    _, source = proposed(written, tmp_path)
    assert source.events["refund"] == "return"
    events = read_files(source, tmp_path).events
    assert (events["quantity"] < 0).sum() == (written["event_name"] == "refund").sum()
    assert len(events) == len(frame)


@pytest.mark.parametrize("name", ["Returns", "Retoure", "Returned"])
def test_a_mark_on_the_sale_that_came_back_leaves_it_out_and_no_other(name, tmp_path):
    written, frame = order_lines(SHOPIFY)
    is_back = frame.index % 6 == 0
    _, source = proposed(written.assign(**{name: is_back.astype(int)}), tmp_path)
    assert source.exclude == {name: ("1",)}
    events = read_files(source, tmp_path).events
    kept = frame[~is_back]
    assert key(events[["user_id", "item_id", "timestamp"]]) == key(kept[["user", "item", "time"]])
    assert (events["quantity"] > 0).all()


def test_an_empty_mark_is_that_of_a_sale(tmp_path):
    written, frame, is_back = with_returns("is_return", 1)
    marks = written["is_return"].astype(float)
    written["is_return"] = marks.mask((marks == 0) & (np.arange(len(marks)) % 4 == 0))
    _, source = proposed(written, tmp_path)
    events = read_files(source, tmp_path).events
    assert (events["quantity"] < 0).sum() == is_back.sum()
    assert len(events) == len(frame) + is_back.sum()


RETURNED_QUANTITIES = {
    "Magento": (
        "qty_ordered",
        {"qty_canceled": 1, "qty_refunded": 1, "qty_returned": 0},
        ("qty_canceled", "qty_refunded"),
    ),
    "PrestaShop": ("product_quantity", {"product_quantity_refunded": 2, "product_quantity_return": 1}, None),
    "WooCommerce": ("Quantity", {"Quantity Refunded": -2}, None),
    "German": ("Menge", {"Menge storniert": 2}, None),
}


@pytest.mark.parametrize("line_total", [True, False])
@pytest.mark.parametrize(("name", "counts", "read"), RETURNED_QUANTITIES.values(), ids=RETURNED_QUANTITIES)
def test_pieces_that_came_back_lower_their_row(name, counts, read, line_total, tmp_path):
    written, frame = order_lines(SHOPIFY, line_total=line_total)
    written = written.drop(columns="Total").rename(columns={"Lineitem quantity": name})
    bought = frame["quantity"] + 1
    worth = frame["worth"] / frame["quantity"]
    written[name] = bought
    if line_total:
        written["Lineitem price"] = (worth * bought).round(2)
    is_back = frame.index % 4 == 0
    for column, number in counts.items():
        written.insert(0, column, np.where(is_back, number, 0))
    proposal, source = proposed(written, tmp_path)
    assert source.columns.quantity == name
    assert set(source.returned) == set(read or list(counts)[:1])
    assert {guess.value for guess in proposal.guesses if guess.override == "source.returned"} == set(source.returned)
    assert not source.exclude
    events = read_files(source, tmp_path).events
    left = (bought - 2 * is_back).clip(lower=0)
    assert len(events) == (left > 0).sum() < len(frame)
    assert events["quantity"].sum() == left.sum()
    assert np.isclose(events["value"].sum(), (worth * left).sum(), rtol=1e-4)
