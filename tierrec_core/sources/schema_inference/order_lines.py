"""Recognises exports of orders: cells that only an order's first line has, returns, and what values are worth."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray
from tierrec_core.base.errors import DataError
from tierrec_core.sources.schema_inference.columns.names import header_words, is_exact, name_score
from tierrec_core.sources.schema_inference.columns.roles import Guess, are_pieces, describe_content
from tierrec_core.sources.schema_inference.event_names import is_return_word, is_undone, words
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.time_formats import TimeFormat, parse_times

_MIN_AGREEING, _MIN_MAIN, _MIN_RATIO = 0.99, 0.95, 2
_MIN_CONTINUED = 5
_MIN_ORDERS = 5
_OF_SPREAD = 0.5
_MAX_SHOWN, _MAX_TEXT = 4, 60
_NUMBERED = re.compile(r"(.*?\D)[ _.-]?\d+")
_PRICE = re.compile(
    r"(?!gesamt|zeilen|summen)\w*preis|(unit)?price|prix|precio|prezzo|preco|cena|prijs|pris|unitcost|unitario"
)
_OF_LINE = {"total", "line", "row", "sum", "subtotal", "gesamt", "extended", "order"}
_CANCELLED, _BACK = re.compile("cancel|storn|annul"), re.compile("cancel|cancellations?")
_PIECES = re.compile(r"\w*(menge|anzahl|stue?ck(zahl)?)|units?|pieces|pcs|count|num|number")
_LIST_MARKS, _MIN_LISTS = (";", "|", ","), 0.1


def carry_down(preview: FilePreview) -> tuple[FilePreview, Guess | None, frozenset[str]]:
    """The preview with the cells that orders give on their first line only filled; the order column; those columns.

    The values of the order column stand together; where times are empty on further lines, it may be, too. Without an
    order column, the preview is returned as it is.
    """
    sample, found = preview.sample, dict[str, list[str]]()
    sparse = [name for name in preview.columns if sample[name].isna().sum() >= _MIN_CONTINUED]
    for name in preview.columns if sparse else []:
        ids = sample[name].ffill()
        is_first = ids.ne(ids.shift()).to_numpy(dtype=bool, na_value=True)
        stand_together = _MIN_ORDERS <= is_first.sum() <= min(ids.nunique() / _MIN_AGREEING, len(ids) - _MIN_CONTINUED)
        if name in preview.time_formats or not stand_together:
            continue
        given = [other for other in sparse if other != name and _is_on_first(sample[other], is_first)]
        if given and (name not in sparse or preview.time_formats.keys() & set(given)):
            found[name] = given
    if not found:
        return preview, None, frozenset()
    order = max(found, key=lambda name: (name_score("session", name), name not in sparse))
    carried = found[order]
    sample = sample.assign(**{order: sample[order].ffill()})
    filled = sample[carried].fillna(sample.groupby(order)[carried].transform("first"))
    evidence = f"order lines: only the first of an order has {', '.join(carried[:_MAX_SHOWN])}"
    guess = Guess("session", order, evidence)
    return replace(preview, sample=sample.assign(**filled)), guess, frozenset(carried)


def _is_on_first(cells: pd.Series, is_first: BoolArray) -> bool:
    """Whether the first lines of orders are filled and the others are empty."""
    filled = cells.notna().to_numpy()
    return bool(min(filled[is_first].mean(), 1 - filled[~is_first].mean()) >= _MIN_AGREEING)


def order_columns(preview: FilePreview, roles: Mapping[str, Guess]) -> frozenset[str]:
    """Columns with one value for all items of an order, and others for other orders, such as its total.

    An order is a session or, where there is none, what a user bought at one time.
    """
    keys = ("session",) if "session" in roles else ("user", "timestamp")
    if not {"item", *keys} <= roles.keys():
        return frozenset()
    order = [roles[role].value for role in keys]
    rows = preview.sample[preview.sample.groupby(order)[roles["item"].value].transform("nunique") > 1]
    others = [name for name in preview.columns if name not in order]
    counts = rows.groupby(order)[others].nunique()
    if len(counts) < _MIN_ORDERS:
        return frozenset()
    is_one = (counts <= 1).mean() >= _MIN_AGREEING
    return frozenset(name for name in others if is_one[name] and rows[name].nunique() > 1)


def several_items(preview: FilePreview, item: Guess | None, assigned: Collection[str]) -> str:
    """What shows that a row has several items: numbered columns of them, or a list in a cell; empty if it has one."""
    columns = [name for name in preview.columns if name not in assigned or (item and item.value == name)]
    numbered = [name for name in columns if (match := _NUMBERED.fullmatch(name)) and name_score("item", match[1])]
    if len(numbered) > 1 and (item is None or item.value in numbered):
        return f"{', '.join(numbered)} have an item each"
    is_item = bool(item and name_score("item", item.value))
    for name in [item.value] if item and is_item else filter(_is_plural, columns):
        if cell := _item_list(preview.sample[name]):
            return f"{name} has lists of items such as {cell[:_MAX_TEXT]!r}"
    return ""


def _is_plural(name: str) -> bool:
    """Whether the name is that of items without or with an s at its end."""
    return any(is_exact(name_score("item", one)) for one in (name, name.rstrip("sS")))


def _item_list(cells: pd.Series) -> str | None:
    """An example where many cells are lists: what comes last in one comes first in others."""
    texts = cells.dropna().astype("string")
    for mark in _LIST_MARKS:
        is_list = texts.str.contains(mark, regex=False)
        if len(texts) and is_list.mean() >= _MIN_LISTS:
            lists = texts[is_list].str.split(mark)
            first, last = set(texts.str.split(mark).str[0].str.strip()), set(lists.str[-1].str.strip())
            varies = lists.str.len().nunique() > 1 or texts[is_list].nunique() > len(lists) / 2
            if varies and len(last & first) >= len(last) / 2 and len(first) > _MIN_ORDERS:
                return str(texts[is_list].iloc[0])
    return None


def returned_columns(preview: FilePreview, quantity: str | None) -> list[str]:
    """The columns of how many pieces of a row came back or were cancelled, by name, and by values up to the quantity.

    Of those of returns and of refunds, which count the same pieces, the one with more of them. quantity: its column, if
    it is known
    """
    found = dict[str, float]()
    most = pd.Series(preview.numbers(quantity)[0]).abs() if quantity else np.inf
    for name in (name for name in preview.columns if name != quantity and _is_of_returned(name)):
        numbers = pd.Series(preview.numbers(name)[0]).abs().fillna(0)
        if not _names_pieces(name) and not ((numbers > 1).any() and (numbers % 1 == 0).all()):
            continue
        if (numbers == 0).mean() > 1 / 2 and (numbers <= most).mean() >= _MIN_AGREEING:  # else of those that are left
            found[name] = float(numbers.sum())
    cancelled = [name for name in found if any(map(_CANCELLED.match, words(name)))]
    returned = max((name for name in found if name not in cancelled), key=found.__getitem__, default=None)
    return cancelled + ([returned] if returned else [])


def _is_of_returned(name: str) -> bool:
    """Whether the name is of pieces that came back: with a word of pieces, or of returns alone."""
    found = words(name)
    back = [word for word in found if is_undone(word) or _BACK.fullmatch(word) or is_return_word(word)]
    return bool(back) and (_names_pieces(name) or len(back) == len(found))


def _names_pieces(name: str) -> bool:
    return "quantity" in header_words(name) or any(map(_PIECES.fullmatch, words(name)))


def find_pieces(preview: FilePreview, roles: Mapping[str, Guess], assigned: Collection[str]) -> Guess | None:
    """A column of amounts that are numbers of pieces, by which an item's values grow, such as AMOUNT of Ta-Feng."""
    if not {"item", "value"} <= roles.keys():
        return None
    item, value = preview.sample[roles["item"].value], preview.numbers(roles["value"].value)[0]
    for name in preview.columns:
        if name in assigned or "amount" not in header_words(name):
            continue
        numbers, missing = preview.numbers(name)
        if not are_pieces(numbers[~missing]):
            continue
        spread, num_items = _spread(pd.DataFrame({"item": item, "value": value, "quantity": numbers}))
        if num_items and spread["unit"] < _OF_SPREAD * spread["value"]:
            grow = f"{roles['value'].value} of an item grows with it, seen on {num_items} items"
            return Guess("quantity", name, f"{describe_content(preview, name)}; {grow}")
    return None


def unit_price(preview: FilePreview, roles: Mapping[str, Guess], given: bool | None) -> Guess | None:
    """Whether an item's value stays the same when its quantity changes, or grows; None where that cannot be seen."""
    if given is not None:
        return Guess("unit_price", str(given).lower(), "given")
    if not {"item", "value", "quantity"} <= roles.keys():
        return None
    numbers = {role: preview.numbers(roles[role].value)[0] for role in ("value", "quantity")}
    rows = pd.DataFrame({"item": preview.sample[roles["item"].value]} | numbers)
    spread, num_items = _spread(rows)
    if not num_items:
        return _unit_price_by_name(roles["value"].value, rows["quantity"])
    is_unit = bool(spread["value"] < spread["unit"])
    change = "is the same for any quantity" if is_unit else "changes with the quantity"
    evidence = f"{roles['value'].value} of an item {change}, seen on {num_items} items"
    return Guess("unit_price", str(is_unit).lower(), evidence)


def _spread(rows: pd.DataFrame) -> tuple[pd.Series, int]:
    """How much the logarithms of the values of an item differ, whole (`value`) and of one piece (`unit`): the median
    standard deviation, and the number of items, which are those of several quantities. rows: item, value, quantity
    """
    rows = rows[(rows["value"] > 0) & (rows["quantity"] > 0)]
    logs = np.log(rows[["value", "quantity"]])
    rows = rows.assign(value=logs["value"], unit=logs["value"] - logs["quantity"])
    groups = rows[rows.groupby("item")["quantity"].transform("nunique") > 1].groupby("item")
    return groups[["value", "unit"]].std(ddof=0).median(), len(groups)


def _unit_price_by_name(column: str, quantities: pd.Series) -> Guess | None:
    """Whether the value is called as the price of one piece is; None where that is not so, or all are of one piece."""
    found = set(words(column))
    is_price = any(map(_PRICE.fullmatch, found)) and not found & _OF_LINE
    if not is_price or not (quantities > 1).any():
        return None
    return Guess("unit_price", "true", f"{column} is a price of one piece, by name; no item has several quantities")


def daily_sessions(preview: FilePreview, roles: Mapping[str, Guess], time_format: TimeFormat) -> Guess | None:
    """Whether most numbers of sessions recur on other days, of other users; None where they do not."""
    if not {"session", "user"} <= roles.keys():
        return None
    rows = pd.DataFrame({role: preview.sample[roles[role].value] for role in ("session", "user")})
    of_number = rows.groupby("session")["user"].nunique()
    if len(of_number) < 2 or (of_number > 1).mean() <= 1 / 2:
        return None
    moments = parse_times(preview.sample[roles["timestamp"].value], time_format, "UTC")
    of_day = rows.groupby(["session", moments.dt.floor("D")])["user"].nunique()
    if of_number.mean() < _MIN_RATIO * of_day.mean():
        return None
    seen = f"{of_number.mean():.1f} users have one number in {roles['session'].value}, {of_day.mean():.1f} on one day"
    return Guess("daily_sessions", "true", f"{seen}; sessions are told by user and day, too")


def main_currency(path: Path, currencies: pd.Series, given: str | None) -> Guess | None:
    """The currency of nearly all values, or the given one; None where none is named.

    Raises DataError where several are frequent, or none is the given one.
    """
    codes, given = currencies.value_counts(), given and given.upper()
    listed = ", ".join(f"{code} ({num} rows)" for code, num in codes.items())
    if given and given not in codes:
        raise DataError(f"{path}: --currency {given} is not a currency of values; found {listed or 'no currencies'}")
    if codes.empty:
        return None
    if not given and codes.iloc[0] < _MIN_MAIN * codes.sum():
        raise DataError(
            f"{path}: values are in {listed}, and cannot be added up\n--currency {codes.index[0]} keeps those in "
            f"{codes.index[0]} and leaves the others empty; for all, convert them to one currency before; "
            "--currency '' says that they are in one in spite of this"
        )
    main = given or str(codes.index[0])
    evidence = (
        f"{'given' if given else 'of nearly all values'}; {codes.sum() - codes[main]} values in others stay empty"
    )
    return Guess("value currency", main, evidence)
