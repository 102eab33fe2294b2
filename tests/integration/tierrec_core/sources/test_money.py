"""Money as shops write it: `init` finds the column, and `ingest` reads the true amounts."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.errors import DataError, MissingColumnError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.numbers import detect_decimal
from tierrec_core.sources.schema_inference import propose_settings

AMOUNTS = [75.64, 1275.64, -12.5, 1234567.89, 68.9, 0.5, None, 300.0] * 25


def german(amount):
    return f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))


WAYS = {
    "thousands": lambda amount: f"{amount:,.2f}",
    "dollars": lambda amount: f"${amount:,.2f}".replace("$-", "-$"),
    "a code": lambda amount: f"{amount:.2f} USD",
    "accounting": lambda amount: f"({-amount:,.2f})" if amount < 0 else f"{amount:,.2f}",
    "a minus behind": lambda amount: f"{-amount:.2f}-" if amount < 0 else f"{amount:.2f}",
    "swiss": lambda amount: f"{amount:,.2f}".replace(",", "'"),
    "german": german,
    "reais": lambda amount: "R$ " + german(amount),
    "rupiah": lambda amount: "Rp" + german(amount),
    "lira": lambda amount: german(amount) + " TL",
    "roubles": lambda amount: f"{amount:.2f} руб.".replace(".", ",", 1),
    "ringgit": lambda amount: f"RM{amount:,.2f}",
    "yen": lambda amount: f"{amount:.2f}円",
    "euros": lambda amount: german(amount) + " €",
    "french": lambda amount: f"{amount:,.2f}".replace(",", "\u202f").replace(".", ","),
    "plain comma": lambda amount: f"{amount:.2f}".replace(".", ","),
    "a typographic minus": lambda amount: f"{amount:.2f}".replace("-", "−"),
}


def test_dots_part_thousands_where_all_smaller_numbers_have_none(tmp_path):
    rng = np.random.default_rng(3)
    amounts = rng.integers(100, 4000, 300)
    log = pd.DataFrame({"user_id": rng.integers(0, 30, 300), "item_id": rng.integers(0, 20, 300)})
    log["timestamp"] = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(300), unit="D")
    log["total"] = [german(amount).partition(",")[0] for amount in amounts]
    log.to_csv(tmp_path / "log.csv", sep=";", index=False)
    source = parse(FilesSource, propose_settings([tmp_path / "log.csv"], {}).patch["source"], "tests")
    assert read_files(source, tmp_path).events["value"].tolist() == amounts.tolist()


@pytest.mark.parametrize(("before", "after"), [("Rp ", ""), ("", " ₫"), ("IDR ", "")])
@pytest.mark.parametrize("least", [200, 5000])
def test_dots_part_thousands_of_currencies_without_cents(tmp_path, before, after, least):
    amounts = np.random.default_rng(3).integers(least, 90_000, 300)
    texts = [f"{before}{german(amount).partition(',')[0]}{after}" for amount in amounts]
    assert values_of(priced(tmp_path, texts))[1] == amounts.tolist()


def test_three_digits_behind_each_dot_are_warned_of(tmp_path):
    path = priced(tmp_path, [f"{amount // 1000}.{amount % 1000:03}" for amount in range(5000, 9000, 13)])
    assert any("--decimal ," in one for one in propose_settings([path], {}).warnings)
    assert not any("--decimal ," in one for one in propose_settings([path], {"decimal": ","}).warnings)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_true_amounts_are_read(way, tmp_path):
    rng = np.random.default_rng(3)
    log = pd.DataFrame({"user_id": rng.integers(0, 30, len(AMOUNTS)), "item_id": rng.integers(0, 20, len(AMOUNTS))})
    log["timestamp"] = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(len(log)), unit="D")
    log["Umsatz"] = ["-" if amount is None else way(amount) for amount in AMOUNTS]
    log.to_csv(tmp_path / "log.csv", sep=";", index=False)
    source = parse(FilesSource, propose_settings([tmp_path / "log.csv"], {}).patch["source"], "tests")
    assert source.columns.value == "Umsatz"
    values = read_files(source, tmp_path).events["value"]
    assert values.astype(object).where(values.notna(), None).tolist() == AMOUNTS


def priced(folder, prices, codes=None):
    """A log with these prices, and their currencies in a column of their own if they are given."""
    rng = np.random.default_rng(3)
    log = pd.DataFrame({"user_id": rng.integers(0, 30, len(prices)), "item_id": rng.integers(0, 20, len(prices))})
    log["timestamp"] = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(len(log)), unit="D")
    log["price"] = prices
    log = log if codes is None else log.assign(Currency=codes)
    log.to_csv(folder / "log.csv", index=False)
    return folder / "log.csv"


def values_of(path, **overrides):
    """The source and the values that are read, 0 for an empty one."""
    source = parse(FilesSource, propose_settings([path], overrides).patch["source"], "tests")
    return source, read_files(source, path.parent).events["value"].fillna(0).tolist()


PRICES = [round(10 + n * 0.25, 2) for n in range(200)]


@pytest.mark.parametrize("in_column", [True, False], ids=["a column of currencies", "signs in cells"])
def test_values_of_several_currencies_are_not_added_up(in_column, tmp_path):
    codes = np.resize(["EUR", "JPY", "eur", "CHF"], len(PRICES))
    signs = np.resize(["€", "¥", "EUR", "CHF"], len(PRICES))
    cells = PRICES if in_column else [f"{price:.2f} {sign}" for price, sign in zip(PRICES, signs, strict=True)]
    path = priced(tmp_path, cells, codes if in_column else None)
    found = r"values are in EUR \(100 rows\), (JPY \(50 rows\), CHF|CHF \(50 rows\), JPY) \(50 rows\), and cannot"
    with pytest.raises(DataError, match=found + ".*\n--currency EUR keeps those"):
        propose_settings([path], {})
    for given in ("EUR", "CHF"):
        source, values = values_of(path, currency=given)
        assert source.currency == given
        kept = [code.upper() == given for code in codes]
        assert values == [price if keep else 0 for price, keep in zip(PRICES, kept, strict=True)]
    source, values = values_of(path, currency="")
    assert (source.currency, values) == (None, PRICES)
    with pytest.raises(DataError, match="--currency USD is not a currency of values; found EUR"):
        propose_settings([path], {"currency": "USD"})


def test_few_values_in_another_currency_stay_empty(tmp_path):
    codes = ["USD" if n % 40 == 7 else None if n % 9 == 0 else "EUR" for n in range(len(PRICES))]
    path = priced(tmp_path, PRICES, codes)
    shown = {guess.place: guess for guess in propose_settings([path], {}).guesses}
    assert (shown["currency"].value, shown["value currency"].value) == ("Currency", "EUR")
    assert "5 values in others stay empty" in shown["value currency"].evidence
    assert shown["value currency"].override == "--currency"
    assert values_of(path)[1] == [0 if code == "USD" else price for price, code in zip(PRICES, codes, strict=True)]


def test_a_log_of_one_sign_has_no_currencies(tmp_path):
    source, values = values_of(priced(tmp_path, [f"${price:.2f}" for price in PRICES]))
    assert (source.currency, source.columns.currency, values) == (None, None, PRICES)


def test_words_and_broken_cells_are_no_currencies(tmp_path):
    words = {n: ("free", "n.a.")[n % 2] for n in range(8)}
    path = priced(tmp_path, [words.get(n, price) for n, price in enumerate(PRICES)])
    source, _ = values_of(path)
    assert (source.currency, source.columns.value, source.columns.currency) == (None, "price", None)
    cells = [f"{price} {'$' if n == 50 else '€'}" for n, price in enumerate(PRICES)]
    cells[:2] = ["free", "12,x0 €"]
    source, _ = values_of(priced(tmp_path, cells))
    assert (source.currency, source.columns.currency) == ("EUR", "price")
    values = read_files(source, tmp_path).events["value"].to_numpy("object", na_value=None)
    assert np.isnan(list(values[:2])).all()  # for the data gate
    assert [n for n, value in enumerate(values) if value is None] == [50]


def test_a_currency_may_be_given_in_small_letters(tmp_path):
    path = priced(tmp_path, PRICES, np.resize(["EUR", "JPY"], len(PRICES)))
    source, values = values_of(path, currency="eur")
    assert source.currency == "EUR"
    small = source.model_copy(update={"currency": "eur"})
    assert read_files(small, tmp_path).events["value"].fillna(0).tolist() == values
    assert values[:2] == [PRICES[0], 0]


def test_values_of_files_in_several_currencies_are_not_added_up(tmp_path):
    paths = []
    for name, way in (("2023.csv", "{:.2f} €"), ("2024.csv", "${:.2f}")):
        paths.append(priced(tmp_path, [way.format(price) for price in PRICES]).rename(tmp_path / name))
    with pytest.raises(DataError, match=r"values are in (EUR|USD) \(200 rows\), (EUR|USD) \(200 rows\), and cannot"):
        propose_settings(paths, {})
    source = parse(FilesSource, propose_settings(paths, {"currency": "USD"}).patch["source"], "tests")
    values = read_files(source, tmp_path).events["value"]
    assert sorted(values.dropna()) == PRICES
    assert values.isna().sum() == len(PRICES)


def test_the_decimal_mark_does_not_depend_on_the_order_of_rows():
    cells = pd.Series(["5"] * 400 + ["12,50"] * 600, dtype="string")
    for one in (cells, cells[::-1]):
        assert detect_decimal(one.to_frame("price")) == ","


MINOR = {
    "price_cents": "EUR",
    "amountInCents": None,
    "price.unit_amount": "usd",
    "betrag_cent": "EUR",
    "total_money.amount": "GBP",
    "total_centavos": "BRL",
    "price_micros": "EUR",
    "priceAmountMicros": "JPY",
    "cost_micros_amount": None,
}


@pytest.mark.parametrize("name", MINOR)
def test_values_in_cents_are_divided(name, tmp_path):
    divisor, shown = (1_000_000, "1,000,000") if "micros" in name.lower() else (100, "100")
    cents = [round(price * divisor) for price in PRICES]
    log = pd.read_csv(priced(tmp_path, cents, None if MINOR[name] is None else [MINOR[name]] * len(cents)))
    log.rename(columns={"price": name}).to_csv(tmp_path / "log.csv", index=False)
    guesses = {guess.place: guess for guess in propose_settings([tmp_path / "log.csv"], {}).guesses}
    guess = guesses[f"minor_units {name}"]
    assert (guess.value, guess.override) == (f"divided by {shown}", "--minor-units COLUMN, '' for none")
    source, values = values_of(tmp_path / "log.csv")
    assert source.minor_units == (name,)
    assert np.allclose(values, PRICES)
    assert values_of(tmp_path / "log.csv", minor_units=[])[1] == cents


UNDIVIDED = {
    "a name that is not only of cents": ("amount_total", [int(price) for price in PRICES], "EUR"),
    "a currency without cents": ("price_cents", [int(price) for price in PRICES], "JPY"),
    "fractions": ("price_cents", PRICES, "EUR"),
    "whole euros": ("price", [int(price) for price in PRICES], "EUR"),
    "an amount of no provider": ("amount", [int(price) for price in PRICES], "EUR"),
}


@pytest.mark.parametrize(("name", "amounts", "code"), UNDIVIDED.values(), ids=UNDIVIDED)
def test_other_values_are_not_divided(name, amounts, code, tmp_path):
    log = pd.read_csv(priced(tmp_path, amounts, [code] * len(amounts))).rename(columns={"price": name})
    log.to_csv(tmp_path / "log.csv", index=False)
    source, values = values_of(tmp_path / "log.csv")
    assert (source.minor_units, values) == ((), amounts)
    if name == "amount":
        source, values = values_of(tmp_path / "log.csv", minor_units=["amount"])
        assert np.allclose(values, np.divide(amounts, 100))
        with pytest.raises(
            MissingColumnError, match="--minor-units paid is not a column of values or prices; wanted amount"
        ):
            values_of(tmp_path / "log.csv", minor_units=["paid"])


def test_amounts_of_stripe_are_in_cents(tmp_path):
    log = pd.read_csv(priced(tmp_path, [round(price * 100) for price in PRICES], ["usd"] * len(PRICES)))
    log = log.rename(columns={"price": "amount"}).assign(id=[f"ch_{n}" for n in range(len(log))], object="charge")
    log.to_json(tmp_path / "log.jsonl", orient="records", lines=True)
    source, values = values_of(tmp_path / "log.jsonl")
    assert source.minor_units == ("amount",)
    assert np.allclose(values, PRICES)


@pytest.mark.parametrize(
    ("name", "is_unit"), [("price", True), ("Stückpreis", True), ("Gesamtpreis", False), ("amount", False)]
)
def test_where_no_item_has_several_quantities_the_name_says_what_a_value_is_worth(name, is_unit, tmp_path):
    log = pd.read_csv(priced(tmp_path, PRICES)).rename(columns={"price": name}).assign(quantity=2)
    log.to_csv(tmp_path / "log.csv", index=False)
    shown = {guess.place: guess for guess in propose_settings([tmp_path / "log.csv"], {}).guesses}
    assert ("unit_price" in shown) == is_unit
    assert values_of(tmp_path / "log.csv")[1] == [price * (2 if is_unit else 1) for price in PRICES]


PAID = {
    "discounted_price": {"unit_price": 10.0, "discounted_price": 8.5},
    "sale_price": {"price": 12.0, "sale_price": 9.0},
    "final_price": {"list_price": 12.0, "final_price": 9.0},
    "PU TTC": {"PU TTC": 7.25, "TVA": 20},
}


@pytest.mark.parametrize("name", PAID)
def test_the_price_that_was_paid_is_the_value(name, tmp_path):
    rng = np.random.default_rng(2)
    rows = pd.DataFrame({"user_id": rng.integers(0, 40, 200), "item_id": rng.integers(0, 25, 200), **PAID[name]})
    rows.assign(time=pd.date_range("2024-01-05", periods=200, freq="5h")).to_csv(tmp_path / "log.csv", index=False)
    columns = propose_settings([tmp_path / "log.csv"], {}).patch["source"]["columns"]
    assert columns["value"] == name


def test_a_sale_price_that_most_rows_lack_is_not_the_value(tmp_path):
    rng = np.random.default_rng(2)
    rows = pd.DataFrame({"user_id": rng.integers(0, 40, 200), "item_id": rng.integers(0, 25, 200), "price": 12.0})
    rows["sale_price"] = np.where(np.arange(200) % 4 == 0, 9.0, np.nan)
    rows.assign(time=pd.date_range("2024-01-05", periods=200, freq="5h")).to_csv(tmp_path / "log.csv", index=False)
    columns = propose_settings([tmp_path / "log.csv"], {}).patch["source"]["columns"]
    assert columns["value"] == "price"


def test_the_revenue_of_purchases_is_the_value_beside_the_prices_of_all_events(tmp_path):
    rng = np.random.default_rng(2)
    rows = pd.DataFrame({"user_id": rng.integers(0, 40, 200), "item_id": rng.integers(0, 25, 200), "price": 12.3})
    rows["event"] = np.where(np.arange(200) % 10 == 0, "purchase", "view")
    rows["revenue"] = rows["price"].where(rows["event"] == "purchase") * 2
    rows.assign(time=pd.date_range("2024-01-05", periods=200, freq="5h")).to_csv(tmp_path / "log.csv", index=False)
    columns = propose_settings([tmp_path / "log.csv"], {}).patch["source"]["columns"]
    assert columns["value"] == "revenue"


@pytest.mark.parametrize("grows", [True, False])
def test_amounts_by_which_values_grow_are_pieces(grows, tmp_path):
    rng = np.random.default_rng(2)
    rows = pd.DataFrame({"CUSTOMER_ID": rng.integers(0, 40, 400), "PRODUCT_SUBCLASS": rng.integers(0, 25, 400)})
    rows["AMOUNT"], price = rng.integers(1, 6, 400), rng.choice([49, 59, 99], 25)[rows["PRODUCT_SUBCLASS"]]
    rows["SALES_PRICE"] = price * (rows["AMOUNT"] if grows else 1)
    rows = rows.rename(columns={"PRODUCT_SUBCLASS": "PRODUCT_ID"})
    rows.assign(date=pd.date_range("2024-01-05", periods=400, freq="5h")).to_csv(tmp_path / "log.csv", index=False)
    columns = propose_settings([tmp_path / "log.csv"], {}).patch["source"]["columns"]
    assert columns["value"] == "SALES_PRICE"
    assert columns.get("quantity") == ("AMOUNT" if grows else None)


def test_prices_of_a_piece_in_one_file_and_totals_in_another_are_refused(tmp_path):
    rng = np.random.default_rng(5)
    for name, column in (("orders_1.csv", "unit_price"), ("orders_2.csv", "line_total")):
        items, quantities = rng.integers(0, 20, 300), rng.integers(1, 5, 300)
        log = pd.DataFrame({"user_id": rng.integers(0, 30, 300), "item_id": items, "quantity": quantities})
        log["order_date"] = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(300), unit="D")
        log[column] = (items + 1.5) * (quantities if column == "line_total" else 1)
        log.to_csv(tmp_path / name, index=False)
    paths = [tmp_path / "orders_1.csv", tmp_path / "orders_2.csv"]
    with pytest.raises(DataError, match=r"orders_1\.csv: values are prices of one piece, and those in .*orders_2\.csv"):
        propose_settings(paths, {})
    assert not propose_settings(paths, {"unit_price": False}).patch["source"].get("unit_price")
