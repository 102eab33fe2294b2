"""Rows that are no purchases are left out, with the reason: void and test orders, and lines of no product."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tests.support.order_exports import NUM_ORDERS, NUM_USERS, OF_ORDER, SHOPIFY, key, order_lines, proposed
from tierrec_core.base.errors import DataError, MissingColumnError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files, read_log
from tierrec_core.sources.schema_inference import propose_settings

STATUSES = {
    "Financial Status": ["paid", "refunded", "Cancelled", "partially_refunded", "payment failed", "pending"],
    "Bestellstatus": ["bezahlt", "Storniert", "rückerstattet", "teilweise erstattet", "nicht storniert", "offen"],
}


def with_statuses(name, folder, **blanks):
    """An export of orders of each status in turn, and the lines of those that did not come to nothing."""
    names = SHOPIFY | {"status": name}
    written, frame = order_lines(names, **blanks)
    status = np.resize(STATUSES[name], NUM_ORDERS)[frame["order"].str[1:].astype(int) - 1000]
    written[name] = np.where(written[name].notna(), status, None)
    lost = {"refunded", "Cancelled", "payment failed", "Storniert", "rückerstattet"}
    written.to_csv(folder / "orders.csv", index=False)
    return frame[~np.isin(status, list(lost))], int(np.isin(status, list(lost)).sum())


@pytest.mark.parametrize("blank", [(), OF_ORDER], ids=["on each line", "on the first line"])
@pytest.mark.parametrize("name", STATUSES)
def test_orders_that_came_to_nothing_are_left_out(name, blank, tmp_path):
    kept, num_lost = with_statuses(name, tmp_path, blank=blank)
    proposal = propose_settings([tmp_path / "orders.csv"], {})
    shown = next(guess for guess in proposal.guesses if guess.place == f"exclude {name}")
    assert shown.evidence.endswith(f"; {num_lost} rows are left out")
    assert shown.override.startswith("--exclude")
    events = read_files(parse(FilesSource, proposal.patch["source"], "tests"), tmp_path).events
    assert key(events[["user_id", "item_id", "timestamp"]]) == key(kept[["user", "item", "time"]])


@pytest.mark.parametrize(
    ("flags", "left_out"),
    [
        (("--exclude", "Financial Status=pending"), {"refunded", "cancelled", "payment failed", "pending"}),
        (("--exclude", "Lineitem sku=A"), {"refunded", "cancelled", "payment failed"}),
        (("--exclude", "", "--exclude", "Financial Status=pending"), {"pending"}),
        (("--exclude", ""), None),
    ],
)
def test_given_rows_are_left_out_beside_the_proposed_ones(flags, left_out, tmp_path, monkeypatch):
    with_statuses("Financial Status", tmp_path)
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["init", "orders.csv", "--dry-run", "--json", *flags])
    assert shown.exit_code == 0, shown.output
    exclude = json.loads(shown.stdout)["patch"]["source"].get("exclude", {})
    assert (set(exclude["Financial Status"]) if "Financial Status" in exclude else None) == left_out
    assert exclude.get("Lineitem sku") == (["A"] if "Lineitem sku=A" in flags else None)


LOST = ["annulé", "annule", "remboursé", "Zwrócone", "zwrocone", "annullato", "geannuleerd", "Cancelado", "zrušeno"]


def test_statuses_of_many_languages(tmp_path):
    written, _ = order_lines(SHOPIFY)
    written["Financial Status"] = np.resize([*LOST, "paid"], len(written))
    assert set(proposed(written, tmp_path)[1].exclude["Financial Status"]) == {name.lower() for name in LOST}


@pytest.mark.parametrize("name", ["is_cancelled", "isCancelled"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_that_are_marked_as_cancelled_are_left_out(suffix, name, tmp_path):
    written, frame = order_lines(SHOPIFY)
    written[name] = lost = frame.index % 5 == 0
    path = tmp_path / f"orders.{suffix}"
    getattr(written, f"to_{suffix}")(path, index=False)
    source = parse(FilesSource, propose_settings([path], {}).patch["source"], "tests")
    assert source.exclude == {name: ("true",)}
    assert len(read_files(source, tmp_path).events) == (~lost).sum()


CHARGES = {
    "line_type": ("line_item", "shipping", "tax"),
    "type": ("item", "Fee", "discount"),
    "Positionsart": ("Artikel", "Versandkosten", "Pfand"),
    "orderItemType": ("LineItem", "ShippingLine", "coupon"),
}


@pytest.mark.parametrize("name", CHARGES)
def test_lines_of_no_product_are_left_out(name, tmp_path):
    written, frame = order_lines(SHOPIFY)
    product, *charges = CHARGES[name]
    extra = written.drop_duplicates("Name").assign(**{"Lineitem quantity": 1})
    lines = [extra.assign(**{name: charge, "Lineitem sku": f"SKU{n}"}) for n, charge in enumerate(charges)]
    proposal, source = proposed(pd.concat([written.assign(**{name: product}), *lines]), tmp_path)
    shown = next(guess for guess in proposal.guesses if guess.place == f"exclude {name}")
    assert shown.evidence == f"lines of no product, by name; {2 * NUM_ORDERS} rows are left out"
    assert shown.override.startswith("--exclude")
    events = read_files(source, tmp_path).events
    assert key(events[["user_id", "item_id", "timestamp"]]) == key(frame[["user", "item", "time"]])


OTHERS = [
    ("product", "shipping", "warranty"),
    ("item", "discount", "gift wrapping"),
    ("Line Item", "Shipping", "Service"),
]


@pytest.mark.parametrize("kinds", OTHERS, ids=", ".join)
def test_lines_that_are_neither_products_nor_charges_by_name_are_kept(kinds, tmp_path):
    written, _ = order_lines(SHOPIFY)
    written["type"] = np.resize(kinds, len(written))
    _, source = proposed(written, tmp_path)
    assert source.columns.event is None
    assert source.exclude == {"type": (kinds[1].lower(),)}
    assert len(read_files(source, tmp_path).events) == (written["type"] != kinds[1]).sum()


def test_lines_of_products_with_events_among_them_are_asked_for(tmp_path):
    written, _ = order_lines(SHOPIFY)
    written["type"] = np.resize(["item", "purchase", "shipping"], len(written))
    with pytest.raises(DataError, match=r"type has names of events .* not known: .*item "):
        proposed(written, tmp_path)


def test_a_type_of_products_is_no_event(tmp_path):
    written, _ = order_lines(SHOPIFY)
    written["product_type"] = np.resize(["Shoes", "Bags", "Sale items"], len(written))
    _, source = proposed(written, tmp_path)
    assert (source.columns.event, source.exclude) == (None, {})


@pytest.mark.parametrize("name", ["delivery_type", "shipment kind", "payment_type"])
def test_orders_that_are_shipped_are_kept(name, tmp_path):
    written, frame = order_lines(SHOPIFY)
    written[name] = np.where(frame["order"].str[-1] < "5", "shipping", "pick-up")
    _, source = proposed(written, tmp_path)
    assert not source.exclude
    assert len(read_files(source, tmp_path).events) == len(frame)


def test_what_is_left_out_can_be_given(tmp_path):
    with_statuses("Bestellstatus", tmp_path)
    open_ones = {"exclude": {"Bestellstatus": ["OFFEN"]}}
    for given, num_kept in (({}, 4), (open_ones, 3), ({"infer_exclude": False}, 6)):
        source = propose_settings([tmp_path / "orders.csv"], given).patch["source"]
        events = read_files(parse(FilesSource, source, "tests"), tmp_path).events
        assert events["timestamp"].nunique() == NUM_ORDERS * num_kept / 6
    with pytest.raises(MissingColumnError, match="--exclude State is not a column; wanted one of Name, Email"):
        propose_settings([tmp_path / "orders.csv"], {"exclude": {"State": ["x"]}})


def test_a_delivery_without_the_status_is_refused(tmp_path):
    with_statuses("Bestellstatus", tmp_path)
    source = parse(FilesSource, propose_settings([tmp_path / "orders.csv"], {}).patch["source"], "tests")
    day = tmp_path / "day.csv"
    pd.read_csv(tmp_path / "orders.csv").drop(columns="Bestellstatus").to_csv(day, index=False)
    with pytest.raises(MissingColumnError, match=r"day\.csv: column 'Bestellstatus' is missing.*\n.*source\.exclude"):
        read_log(source, tmp_path, [day], fresh=[day])


VOID_COLUMNS = {
    "cancelled_at": "2024-03-01 10:00:00",
    "Refunded at": "2024-03-01",
    "cancel_reason": "customer",
    "Stornodatum": "01.03.2024",
    "canceledOn": "1709287200",
    "returned_at": "2024-03-09 08:00",
}


@pytest.mark.parametrize("name", VOID_COLUMNS)
def test_what_is_filled_in_void_orders_alone_leaves_them_out(name, tmp_path):
    written, frame = order_lines(SHOPIFY)
    is_void = frame["order"].str[-1] == "3"
    written[name] = np.where(is_void, VOID_COLUMNS[name], "0000-00-00 00:00:00" if name == "cancelled_at" else "")
    proposal, source = proposed(written, tmp_path)
    assert source.exclude == {name: ("*",)}
    shown = next(guess for guess in proposal.guesses if guess.place == f"exclude {name}")
    assert shown.evidence == f"filled where an order came to nothing, by name; {is_void.sum()} rows are left out"
    events = read_files(source, tmp_path).events
    assert key(events[["user_id", "item_id", "timestamp"]]) == key(frame[~is_void][["user", "item", "time"]])


MARKS = {
    "is_refunded": ("0", "1"),
    "storniert": (None, "X"),
    "test": ("false", "true"),
    "is_draft": ("no", "yes"),
    "livemode": ("true", "false"),
    "payment_state": ("paid", "cancelled"),
    "phase": ("delivered", "refunded"),
    "mode": ("live", "test"),
    "Stato": ("consegnato", "annullato"),
    "order_state": ("complete", "draft"),
    "order_type": ("normal", "test"),
}


@pytest.mark.parametrize("name", MARKS)
def test_marks_and_statuses_are_found_by_their_values(name, tmp_path):
    written, frame = order_lines(SHOPIFY)
    numbers = frame["order"].str[1:].astype(int)
    is_void = ((numbers + numbers // NUM_USERS) % 10).isin([3, 7])  # some orders of each user
    live, void = MARKS[name]
    written[name] = np.where(is_void, void, live)
    _, source = proposed(written, tmp_path)
    assert source.exclude == {name: (void.lower(),)}
    assert len(read_files(source, tmp_path).events) == (~is_void).sum()


@pytest.mark.parametrize("kinds", [("new", "used", "refurbished"), ("paid", "pending", "open"), ("S", "M", "X")])
def test_other_columns_of_few_values_leave_nothing_out(kinds, tmp_path):
    written, frame = order_lines(SHOPIFY)
    written["condition"] = np.resize(kinds, len(written))
    _, source = proposed(written, tmp_path)
    assert not source.exclude
    assert len(read_files(source, tmp_path).events) == len(frame)


def test_lines_without_an_item_are_left_out_by_their_kind(tmp_path):
    """As in Lightspeed's sales: a line of the order and one of the payment beside those of products."""
    written, frame = order_lines(SHOPIFY)
    orders = written.drop_duplicates("Name").assign(**{"Lineitem sku": None, "Lineitem name": None})
    written = pd.concat([written.assign(**{"Line Kind": "Sale Line"}), orders.assign(**{"Line Kind": "Total sum"})])
    proposal, source = proposed(written.sort_values(["Name", "Line Kind"]), tmp_path)
    assert source.exclude == {"Line Kind": ("total sum",)}
    shown = next(guess for guess in proposal.guesses if guess.place.startswith("exclude"))
    assert shown.evidence == f"lines without an item; {NUM_ORDERS} rows are left out"
    events = read_files(source, tmp_path).events
    assert key(events[["user_id", "item_id", "timestamp"]]) == key(frame[["user", "item", "time"]])


def test_amounts_beside_that_of_the_product_are_left_out(tmp_path):
    """As in settlements of Amazon: one line for the price, one for the tax and one for the commission."""
    written, frame = order_lines(SHOPIFY)
    written = written.drop(columns="Total")
    tax, fee = (written.assign(**{"Lineitem price": value}) for value in ("1.9", "-0.7"))
    kinds = {"Principal": written, "Tax": tax, "Commission": fee}
    lines = pd.concat([lines.assign(**{"amount-description": kind}) for kind, lines in kinds.items()])
    _, source = proposed(lines, tmp_path)
    assert source.exclude == {"amount-description": ("commission", "tax")}
    events = read_files(source, tmp_path).events
    assert key(events[["user_id", "item_id", "timestamp"]]) == key(frame[["user", "item", "time"]])


def test_items_that_are_no_products_by_their_ids_are_left_out(tmp_path):
    written, frame = order_lines(SHOPIFY)
    names = ["SHIPPING", "Subtotal", "handling fee", "Gift card 50", "Transfer"]
    charges = written.drop_duplicates("Name").drop(columns="Lineitem name")
    charges["Lineitem sku"] = np.resize(names, len(charges))
    _, source = proposed(pd.concat([written.drop(columns="Lineitem name"), charges]), tmp_path)
    assert source.exclude == {"Lineitem sku": ("handling fee", "shipping", "subtotal", "transfer")}
    assert len(read_files(source, tmp_path).events) == len(frame) + NUM_ORDERS / len(names)


NO_STATUS = {place: name for place, name in SHOPIFY.items() if place != "status"}
KEPT = {
    "subscription_status": ["cancelled", "expired", "active"],
    "coupon_status": ["expired", "valid"],
    "Kundenstatus": ["storniert", "aktiv"],
}


@pytest.mark.parametrize("name", KEPT)
def test_a_status_of_something_else_leaves_no_order_out(name, tmp_path):
    written, _ = order_lines(NO_STATUS)
    _, source = proposed(written.assign(**{name: np.resize(KEPT[name], len(written))}), tmp_path)
    assert source.exclude == {}


@pytest.mark.parametrize("name", ["item-status", "line_item_status", "OrderItemStatus"])
def test_a_status_of_a_line_is_one(name, tmp_path):
    written, _ = order_lines(NO_STATUS)
    statuses = np.resize(["Shipped", "Cancelled", "Shipped"], len(written))
    _, source = proposed(written.assign(**{name: statuses}), tmp_path)
    assert source.exclude == {name: ("cancelled",)}


@pytest.mark.parametrize("name", ["status", "kyc_status"])
def test_a_status_of_users_leaves_none_of_their_orders_out(name, tmp_path):
    written, frame = order_lines(NO_STATUS)
    is_blocked = frame["user"].str[1:].str.split("@").str[0].astype(int) % 4 == 0
    _, source = proposed(written.assign(**{name: np.where(is_blocked, "cancelled", "active")}), tmp_path)
    assert source.exclude == {}


WORDS = {"product": ["Complete Multivitamin", "pregnancy test"], "genre": ["live", "demo"]}


@pytest.mark.parametrize("name", WORDS)
def test_words_of_products_are_no_statuses(name, tmp_path):
    written, frame = order_lines(NO_STATUS)
    words = np.array(WORDS[name])[frame["item"].str[3:].astype(int) % 2]
    _, source = proposed(written.assign(**{name: words}), tmp_path)
    assert source.exclude == {}
