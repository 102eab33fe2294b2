"""Users and items are found by names in any language or by evidence; what cannot be decided is asked for."""

import json

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.errors import DataError, MissingColumnError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings

NUM_ORDERS, NUM_LINES = 200, 400


@pytest.fixture(scope="module")
def orders():
    """Lines of orders, two in each, of 40 customers and 25 products, ten orders a day."""
    rng = np.random.default_rng(7)
    order, item = np.arange(NUM_LINES) // 2, rng.integers(0, 25, NUM_LINES)
    times = pd.Timestamp("2024-01-05") + pd.to_timedelta(order * 144, unit="min")
    quantity = rng.integers(1, 4, NUM_LINES)
    lines = {"customer": rng.integers(0, 40, NUM_ORDERS)[order], "product": item, "order": 7000 + order}
    texts = pd.DataFrame(lines).apply(lambda ids: ids.name[0] + ids.astype("string"))
    return texts.assign(time=times, quantity=quantity, price=1.25 + item, name="Thing number " + texts["product"])


def columns_of(log, folder, overrides=None):
    log.to_csv(folder / "log.csv", index=False)
    return propose_settings([folder / "log.csv"], overrides or {}).patch["source"]["columns"]


HEADERS = {
    "pl": "Klient|Symbol towaru|Nr zamówienia|Data złożenia|Ilość|Cena brutto|Nazwa towaru",
    "pt": "CPF/CNPJ|Código do Produto|Nº Pedido|Data do Pedido|Qtde|Valor Unitário|Descrição",
    "ja": "会員ID|商品管理番号|注文番号|注文日時|個数|単価|商品名",
    "fr": "Client|Réf. produit|Référence|Date|Quantité|Prix unitaire TTC|Produit",
    "es": "Nº cliente|Nº producto|Nº documento|Fecha registro|Cantidad|Importe|Descripción",
    "nl": "Klant-ID|Artikelnummer|Bestelnummer|Besteldatum|Aantal|Prijs|Titel",
    "ru": "Клиент|Артикул|Номер заказа|Дата|Кол-во|Цена|Название",
    "SAP": "KUNAG|MATNR|VBELN|FKDAT|FKIMG|NETWR|ARKTX",
    "PrestaShop": "id_customer|product_reference|id_order|date_add|product_quantity|unit_price|product_name",
}


@pytest.mark.parametrize("language", HEADERS)
def test_orders_of_any_language_are_read(language, orders, tmp_path):
    names = dict(zip(orders.columns, HEADERS[language].split("|"), strict=True))
    found = columns_of(orders.rename(columns=names).sample(frac=1, axis=1, random_state=2), tmp_path)
    roles = {"user": "customer", "item": "product", "session": "order", "timestamp": "time"}
    roles |= {"quantity": "quantity", "value": "price"}
    assert found == {role: names[name] for role, name in roles.items()}


def test_unknown_names_are_found_by_how_values_recur(orders, tmp_path):
    """Customers come in bursts and return; products are shared; orders and attributes of customers are not."""
    names = {"customer": "aa", "product": "bb", "order": "cc", "time": "dd", "name": "ee"}
    log = orders.rename(columns=names).drop(columns=["quantity", "price"]).assign(ff="z" + orders["customer"])
    found = columns_of(log[["cc", "dd", "bb", "ee", "aa", "ff"]], tmp_path)
    assert found == {"user": "aa", "item": "bb", "timestamp": "dd"}


def test_without_evidence_users_and_items_are_asked_for(orders, tmp_path):
    rng = np.random.default_rng(1)
    times = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(NUM_LINES), unit="h")
    log = pd.DataFrame({"aa": rng.integers(0, 40, NUM_LINES), "bb": rng.integers(0, 45, NUM_LINES), "time": times})
    with pytest.raises(MissingColumnError, match="--user-column"):
        columns_of(log, tmp_path)
    log = log.assign(user=log.pop("aa"), cc=rng.integers(0, 40, NUM_LINES))
    with pytest.raises(MissingColumnError, match="--item-column"):
        columns_of(log, tmp_path)
    assert columns_of(log, tmp_path, {"item_column": "bb"})["item"] == "bb"


@pytest.mark.parametrize("price", ["{:.2f}", "{:.2f} €", "{:,.2f}"])
def test_amounts_are_no_items(price, orders, tmp_path):
    log = orders[["customer", "time"]].assign(xx=[price.format(1000 + number) for number in orders["price"]])
    with pytest.raises(MissingColumnError, match="--item-column"):
        columns_of(log, tmp_path)


@pytest.mark.parametrize("kind", ["datetime64[s]", "int64"])
@pytest.mark.parametrize("name", ["client_event_time", "user_registered"])
def test_times_are_no_users(kind, name, orders, tmp_path):
    seen = (orders["time"] + pd.Timedelta(seconds=3)).astype("datetime64[s]").astype(kind)
    log = orders[["product", "time"]].assign(**{name: seen})
    with pytest.raises(MissingColumnError, match="--user-column"):
        columns_of(log, tmp_path, {"time_column": "time"})
    log = log.assign(device_id=orders["customer"])
    assert columns_of(log, tmp_path, {"time_column": "time"})["user"] == "device_id"


LISTS = {
    "brackets": lambda ids: str(list(ids)),
    "JSON": lambda ids: json.dumps({"product": ids[0], "price": 5}, separators=(",", ":")),
    "fields": lambda ids: f"shoes;{ids[0]};1;9.99,hats;{ids[1]};2;5",
    "marks": lambda ids: "|".join([*ids, ids[0]][: 2 + (ids[0] > "p2")]),
}


@pytest.mark.parametrize("written", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("name", ["product", "items", "xx"])
def test_several_items_in_a_cell_are_refused(written, name, orders, tmp_path):
    pairs = orders.groupby("order")["product"].agg(list)
    log = orders[::2].reset_index(drop=True)[["customer", "time"]].assign(**{name: pairs.map(written).to_numpy()})
    with pytest.raises(MissingColumnError, match=r"--item-column|one row per item"):
        columns_of(log, tmp_path)


@pytest.mark.parametrize("written", ["brackets", "JSON"])
def test_lists_are_refused_even_if_they_are_given(written, orders, tmp_path):
    log = orders.assign(basket=[LISTS[written]([one, one]) for one in orders["product"]])
    with pytest.raises(MissingColumnError, match="basket has several values in a cell such as"):
        columns_of(log, tmp_path, {"item_column": "basket"})


@pytest.mark.parametrize("null", ["<null>", "undefined", "#N/A", "null", "None", "nan", "N/A", "(not set)", "-", r"\N"])
def test_what_means_nothing_is_no_id(null, orders, tmp_path):
    log = orders.assign(customer=orders["customer"].mask(orders["order"] < "o7020", null))
    log["product"] = log["product"].mask(orders["order"] > "o7180", null)
    log.to_csv(tmp_path / "log.csv", index=False)
    source = propose_settings([tmp_path / "log.csv"], {}).patch["source"]
    events = read_files(parse(FilesSource, source, "tests"), tmp_path).events
    assert events["user_id"].isna().sum() == (orders["order"] < "o7020").sum()
    assert events["item_id"].isna().sum() == (orders["order"] > "o7180").sum()


def test_a_table_of_attributes_in_rows_is_told(orders, tmp_path):
    orders.to_csv(tmp_path / "log.csv", index=False)
    items = np.repeat(orders["product"].unique(), 3)
    pairs = pd.DataFrame({"product": items, "property": np.resize(["color", "size", "790"], len(items)), "value": "v1"})
    pairs.to_csv(tmp_path / "properties.csv", index=False)
    files = [tmp_path / "log.csv", tmp_path / "properties.csv"]
    proposal = propose_settings(files, {})
    assert proposal.patch["source"]["items_path"] == str(files[0])
    assert any("has an attribute of product in each row, called property" in line for line in proposal.warnings)
    with pytest.raises(DataError, match="pivot it"):
        propose_settings(files, {"items_path": str(files[1])})


def test_a_table_of_other_things_is_none_of_items(orders, tmp_path):
    log = orders.assign(product=orders["product"].str[1:])
    log.to_csv(tmp_path / "log.csv", index=False)
    pd.DataFrame({"categoryid": [1, 2, 3, 4], "parentid": [0, 1, 1, 2]}).to_csv(tmp_path / "tree.csv", index=False)
    proposal = propose_settings([tmp_path / "log.csv", tmp_path / "tree.csv"], {})
    assert any("tree.csv: is not used" in line for line in proposal.warnings)


def test_numbers_that_are_not_used_are_shown(orders, tmp_path):
    orders.assign(weight=2.5, shelf=7, note="x").to_csv(tmp_path / "log.csv", index=False)
    guesses = {guess.place: guess for guess in propose_settings([tmp_path / "log.csv"], {}).guesses}
    assert guesses["unused"].value == "weight, shelf"


@pytest.mark.parametrize("role", ["user", "item"])
def test_one_id_in_all_rows_is_refused(orders, role, tmp_path):
    column = {"user": "customer", "item": "product"}[role]
    orders.assign(**{column: "only"}).to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(MissingColumnError, match=f"{column} has 'only' in all rows; wanted ids of several {role}s"):
        propose_settings([tmp_path / "log.csv"], {})
    for name in ("one", "two"):
        orders.assign(**{column: name}).to_csv(tmp_path / f"{name}.csv", index=False)
    proposal = propose_settings([tmp_path / "one.csv", tmp_path / "two.csv"], {})
    assert proposal.patch["source"]["columns"][role] == column
