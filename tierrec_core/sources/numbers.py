"""Numbers as shops and spreadsheets write them: `1.275,64 €`, `(12.50)`, `1'275.64`, `12-`."""

import re

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, FloatArray

MISSING_NUMBERS = frozenset({"na", "n/a", "null", "none", "-", "--", "–", "—"})
_CODES = """eur usd gbp chf jpy cny rmb inr aud cad nzd sek nok dkk pln czk huf brl mxn try rub zar ron thb vnd idr php
    krw kr rs rp lei ft tl hkd sgd twd myr rm aed sar ils egp mad ngn kes pkr bdt lkr ars clp cop pen uyu isk rsd din
    bgn uah kzt лв грн руб р"""
_CURRENCIES = re.compile(rf"r\$|[€$£¥₹₽₺₩₴₫₱₪฿円元원]|zł|kč|(?<![a-zа-я])(?:{'|'.join(_CODES.split())})(?![a-zа-я])\.?")
_DASHES = str.maketrans({"−": "-", "–": "-", "’": "'", "\xa0": " ", "\u202f": " ", "\u2009": " "})
_NUMBERS = {
    decimal: re.compile(rf"([+-]?) ?(\d{{1,3}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}|\d+|)(?:[{decimal}](\d*))?(e[+-]?\d+)?")
    for decimal, mark in ((".", "[,' ]"), (",", "[.' ]"))
}
_NO_SIGN = re.compile(r"e[+-]?\d+|[\d.,'’()+−–—\s-]")
_SIGNS = {"€": "EUR", "$": "USD", "US$": "USD", "£": "GBP", "¥": "JPY", "R$": "BRL", "ZŁ": "PLN", "KČ": "CZK"}
_SIGNS |= {"TL": "TRY", "₺": "TRY", "₽": "RUB", "РУБ": "RUB", "Р": "RUB", "ГРН": "UAH", "₴": "UAH", "RM": "MYR"}
_SIGNS |= {"RP": "IDR", "₫": "VND", "₩": "KRW", "₱": "PHP", "₹": "INR", "฿": "THB", "ЛВ": "BGN"}
_WHOLE_CODES = "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf"  # of currencies without cents
_WHOLE_CURRENCIES = frozenset(_WHOLE_CODES.upper().split())
_WRITTEN_WHOLE = _WHOLE_CURRENCIES | {"IDR"}  # rupiah have cents that nobody writes
_MICROS = re.compile(r"(?<![A-Za-z])(micros?(?![a-z])|MICROS?(?![A-Z]))|(?<![A-Z])Micros?(?![a-z])")
_GROUPED = r"[1-9]\d{0,2}(\.\d{3})+"
_MIN_GROUPED = 10
_SAMPLE = 300
_MIN_NUMBERS = 0.95


def parse_numbers(values: pd.Series, decimal: str) -> tuple[FloatArray, BoolArray]:
    """The numbers, NaN for what is none, and which cells are empty or say that the number is missing, [N] each."""
    texts = values.astype("string").str.strip().str.lower()
    missing = (values.isna() | texts.isin(MISSING_NUMBERS)).to_numpy(dtype=bool)
    if pd.api.types.is_string_dtype(values.dtype):
        distinct = pd.Series(texts.unique()).dropna()
        known = {text: _number(text, decimal) for text in distinct}
        numbers = texts.map(known)
    else:
        numbers = pd.to_numeric(values, errors="coerce")
    return numbers.astype("Float64").to_numpy("float64", na_value=np.nan), missing


def currency_codes(cells: pd.Series) -> pd.Series:
    """The currency that each cell names, such as EUR in `12,50 €`, [N]; missing where it names none."""
    texts = cells.astype("string").str.strip().str.lower()
    named = texts[texts.str.contains(r"[^\d.,\s-]", regex=True).fillna(False)].unique()
    signs = {text: _NO_SIGN.sub("", text).upper() for text in named if text not in MISSING_NUMBERS}
    return texts.map({text: _SIGNS.get(sign, sign) for text, sign in signs.items() if sign}).astype("string")


def is_in_micros(column: str) -> bool:
    """Whether a column is called as one of millionths, such as price_micros, priceAmountMicros and cost.micros."""
    return _MICROS.search(column) is not None


def minor_unit_divisors(codes: pd.Series, column: str) -> pd.Series:
    """By how much each number of a column of minor units is divided, [N]: 1,000,000 in micros, else 100 or 1.

    codes: of the currency of each number, [N]
    """
    if is_in_micros(column):
        return pd.Series(1e6, codes.index)
    return pd.Series(np.where(codes.fillna("").isin(_WHOLE_CURRENCIES), 1.0, 100.0), codes.index)


def detect_decimal(frame: pd.DataFrame) -> str:
    """The decimal mark that more columns of texts need to be numbers."""
    needed = {".": 0, ",": 0}
    for name in map(str, frame.select_dtypes("string")):
        filled = frame[name].dropna()
        cells = filled.sample(min(len(filled), _SAMPLE), random_state=0)  # equal steps could meet one of two forms only
        if not cells.str.contains("[.,]").any():
            continue  # all are read alike, whatever the mark
        shares = {decimal: _share(cells, decimal) for decimal in needed}
        for decimal, other in ((".", ","), (",", ".")):
            needed[decimal] += shares[decimal] >= _MIN_NUMBERS > shares[other]
        needed[","] += _is_grouped(cells)
    return "," if needed[","] > needed["."] else "."


def _is_grouped(cells: pd.Series) -> bool:
    """Whether dots part thousands: all dotted numbers have groups of three digits, and all others are below 1000.

    There are some others, or the currency is written without cents.
    """
    is_whole = bool(currency_codes(cells).isin(_WRITTEN_WHOLE).mean() > 1 / 2)
    _, others = _parted(cells)
    return (
        has_three_decimals(cells)
        and (is_whole or others.nunique() >= _MIN_GROUPED)
        and bool(others.str.fullmatch(r"\d{1,3}").all())
    )


def has_three_decimals(cells: pd.Series) -> bool:
    """Whether all numbers with a dot have three digits behind each, as thousands have."""
    dotted, _ = _parted(cells)
    return bool(dotted.nunique() >= _MIN_GROUPED and dotted.str.fullmatch(_GROUPED).all())


def _parted(cells: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The texts of numbers with a dot, and those without, but for signs of currencies."""
    texts = cells.str.lower().str.replace(_CURRENCIES, "", regex=True).str.strip()
    has_dot = texts.str.contains(".", regex=False)
    return texts[has_dot], texts[~has_dot]


def _share(cells: pd.Series, decimal: str) -> float:
    numbers, missing = parse_numbers(cells, decimal)
    return float(np.isfinite(numbers[~missing]).mean()) if (~missing).any() else 0.0


def _number(text: str, decimal: str) -> float:
    """One number, or NaN. A minus may follow the digits, or be brackets; `5,-` is 5."""
    plain = _CURRENCIES.sub("", text.translate(_DASHES)).strip()
    if plain in ("inf", "+inf", "infinity", "-inf", "-infinity"):
        return float(plain)
    bracketed = plain.startswith("(") and plain.endswith(")")
    plain = re.sub(r"[.,]-+$", "", plain[1:-1].strip() if bracketed else plain)
    if plain.endswith("-"):
        plain = "-" + plain[:-1].strip()
    match = _NUMBERS[decimal].fullmatch(plain)
    if match is None or not (match[2] or match[3]):
        return float("nan")
    number = float(f"{match[1]}{re.sub(r'[^0-9]', '', match[2]) or 0}.{match[3] or 0}{match[4] or ''}")
    return -number if bracketed else number
