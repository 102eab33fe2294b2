"""Names of columns in the languages of shops and in those of their systems have the role that they say."""

import pytest

from tierrec_core.sources.schema_inference.columns.names import (
    header_words,
    is_exact,
    is_rating_name,
    is_time_name,
    name_score,
)

ROLES = ("user", "item", "session", "quantity", "value", "title", "timestamp")
NAMES = {
    "de": {"user": "Kundennr.", "item": "Art.-Nr.", "session": "Bestellnummer", "quantity": "Stück", "value": "Preis"},
    "nl": {
        "user": "Klantnummer",
        "item": "Artikelcode",
        "session": "Bestelnummer",
        "quantity": "Aantal",
        "value": "Prijs",
    },
    "fr": {
        "user": "N° client",
        "item": "Réf. produit",
        "session": "N° commande",
        "quantity": "Quantité",
        "value": "Prix",
    },
    "es": {
        "user": "Nº cliente",
        "item": "Código artículo",
        "session": "Nº pedido",
        "quantity": "Cantidad",
        "value": "Precio",
    },
    "pt": {
        "user": "Cliente",
        "item": "Código do Produto",
        "session": "Nº Pedido",
        "quantity": "Qtde",
        "value": "Preço",
    },
    "it": {
        "user": "Codice cliente",
        "item": "Codice articolo",
        "session": "N. ordine",
        "quantity": "Q.tà",
        "value": "Prezzo",
    },
    "pl": {
        "user": "Klient",
        "item": "Symbol towaru",
        "session": "Nr zamówienia",
        "quantity": "Ilość",
        "value": "Cena brutto",
    },
    "cs": {
        "user": "Zákazník",
        "item": "Kód zboží",
        "session": "Číslo objednávky",
        "quantity": "Množství",
        "value": "Cena",
    },
    "sv": {"user": "Kundnummer", "item": "Artikelnummer", "session": "Ordernr", "quantity": "Antal", "value": "Pris"},
    "da": {"user": "Kundenr.", "item": "Varenummer", "session": "Ordrenummer", "quantity": "Antal", "value": "Beløb"},
    "fi": {"user": "Asiakas", "item": "Tuotekoodi", "session": "Tilausnumero", "quantity": "Määrä", "value": "Hinta"},
    "hu": {
        "user": "Vásárló",
        "item": "Cikkszám",
        "session": "Rendelésszám",
        "quantity": "Mennyiség",
        "value": "Összeg",
    },
    "tr": {"user": "Müşteri No", "item": "Ürün Kodu", "session": "Sipariş No", "quantity": "Adet", "value": "Fiyat"},
    "ru": {
        "user": "Покупатель",
        "item": "Код товара",
        "session": "Номер заказа",
        "quantity": "Количество",
        "value": "Цена",
    },
    "ja": {"user": "会員ID", "item": "商品管理番号", "session": "注文番号", "quantity": "数量", "value": "単価"},
    "zh": {"user": "客户编号", "item": "商品编号", "session": "订单号", "quantity": "数量", "value": "金额"},
    "ko": {"user": "고객번호", "item": "상품코드", "session": "주문번호", "quantity": "수량", "value": "가격"},
    "he": {"user": "מספר לקוח", "item": 'מק"ט', "quantity": "כמות", "value": "מחיר"},
    "ar": {"user": "رقم العميل", "item": "رقم المنتج", "session": "رقم الطلب", "quantity": "الكمية", "value": "السعر"},
    "SAP": {
        "user": "KUNAG",
        "item": "MATNR",
        "session": "VBELN",
        "quantity": "FKIMG",
        "value": "NETWR",
        "title": "ARKTX",
    },
    "SAP in words": {"user": "Sold-to party", "item": "Material", "timestamp": "Billing Date"},
    "PrestaShop": {
        "user": "id_customer",
        "item": "product_reference",
        "session": "id_order",
        "quantity": "product_quantity",
    },
    "Dynamics": {"user": "Sell-to Customer No.", "item": "Item No.", "session": "Document No.", "value": "Line Amount"},
    "Mercado Libre": {"user": "Comprador", "item": "# de publicación", "session": "# de venta", "quantity": "Unidades"},
    "web": {"user": "distinct_id", "item": "properties.product id", "timestamp": "client_event_time"},
}


@pytest.mark.parametrize("language", NAMES)
def test_a_name_is_likeliest_of_its_role(language):
    for role, name in NAMES[language].items():
        scores = {other: name_score(other, name) for other in ROLES}
        assert max(scores, key=scores.__getitem__) == role, (name, header_words(name), scores)


@pytest.mark.parametrize(
    "name", ["order_item_id", "Line Item No.", "product_price", "item_date", "Produktpreis", "会員登録日時"]
)
def test_lines_amounts_and_times_are_no_ids(name):
    assert name_score("item", name) == name_score("user", name) == 0


@pytest.mark.parametrize("name", ["Product name", "Artikelbezeichnung", "商品名", "Nazwa towaru"])
def test_names_of_items_are_titles_before_they_are_ids(name):
    assert is_exact(name_score("title", name))
    assert 0 < name_score("item", name) < name_score("item", "our product")


def test_times_and_ratings_are_told_by_one_word():
    assert all(map(is_time_name, ["client_event_time", "dvce_created_tstamp", "ts", "context.received_at_time"]))
    assert not any(map(is_time_name, ["user_id", "data.product_id", "runtime_env", "times_seen"]))
    assert all(map(is_rating_name, ["Book-Rating", "overall", "Bewertung", "評価"]))
    assert not any(map(is_rating_name, ["price", "operating_system", "ratio"]))
