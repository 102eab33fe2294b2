"""Exports of orders, a row for each line: cells that only the first line of an order has, and what a value is worth."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.errors import DataError, MissingColumnError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files, read_log
from tierrec_core.sources.schema_inference import propose_settings

OF_ORDER = ("status", "sum", "user")
NUM_ORDERS, NUM_ITEMS, NUM_USERS = 300, 30, 40
SHOPIFY = {
    "order": "Name",
    "user": "Email",
    "time": "Created at",
    "status": "Financial Status",
    "sum": "Total",
    "quantity": "Lineitem quantity",
    "title": "Lineitem name",
    "item": "Lineitem sku",
    "price": "Lineitem price",
}
GERMAN = {
    "order": "Bestellnummer",
    "user": "Kundennummer",
    "time": "Bestelldatum",
    "status": "Zahlung",
    "sum": "Bestellsumme",
    "quantity": "Menge",
    "title": "Artikelname",
    "item": "Artikelnummer",
    "price": "Preis",
}


def order_lines(names, *, blank=(), line_total=False, seed=3):
    """Orders of one to three lines under these column names, and the EVENTS that they are; later lines are blank."""
    rng = np.random.default_rng(seed)
    prices = np.round(rng.uniform(1, 99, NUM_ITEMS), 2)
    rows = []
    for number in range(NUM_ORDERS):
        at = pd.Timestamp("2024-01-05 08:30", tz="UTC") + pd.Timedelta(hours=9 * number)
        for place, item in enumerate(rng.choice(NUM_ITEMS, rng.integers(1, 4), replace=False)):
            quantity = int(rng.integers(1, 4))
            price = prices[item] * (quantity if line_total else 1)
            row = {
                "order": f"#{1000 + number}",
                "user": f"p{number % NUM_USERS}@shop.test",
                "time": at,
                "status": "paid",
            }
            row |= {"sum": 99.5, "quantity": quantity, "title": f"T{item}", "item": f"SKU{item}"}
            rows.append(row | {"price": round(price, 2), "place": place, "worth": round(prices[item] * quantity, 2)})
    frame = pd.DataFrame(rows)
    written = frame.assign(time=frame["time"].dt.strftime("%Y-%m-%d %H:%M:%S %z")).astype(object)
    written.loc[frame["place"] > 0, list(blank)] = None
    return written[list(names)].rename(columns=names), frame


def proposed(written, folder):
    path = folder / "orders.csv"
    written.to_csv(path, index=False)
    proposal = propose_settings([path], {})
    return proposal, parse(FilesSource, proposal.patch["source"], "tests")


def key(frame):
    return sorted(frame.itertuples(index=False, name=None))


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


@pytest.mark.parametrize("kind", ["return", "Retoure", "refund", "purchase"])
def test_lines_of_products_with_events_among_them_are_asked_for(kind, tmp_path):
    written, _ = order_lines(SHOPIFY)
    written["type"] = np.resize(["item", kind, "shipping"], len(written))
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
    for given, num_kept in (({}, 6), ({"Bestellstatus": ["OFFEN"]}, 5)):
        source = propose_settings([tmp_path / "orders.csv"], {"exclude": given}).patch["source"]
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


def test_sales_and_returns_are_asked_for(tmp_path):
    written, _ = order_lines(SHOPIFY)
    for num_sales in (1, 2):
        kinds = ["item_sale"] * num_sales + ["item_return", "shipping"]
        written["transaction_type"] = np.resize(kinds, len(written))
        with pytest.raises(DataError, match=r"transaction_type has names .* not known: item_return .*, shipping "):
            proposed(written, tmp_path)
