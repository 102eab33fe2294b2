"""Recognises exports of orders: which cells an order gives on its first line only, and what its values are worth."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray
from tierrec_core.sources.numbers import parse_numbers
from tierrec_core.sources.schema_inference.column_roles import Guess, name_score
from tierrec_core.sources.schema_inference.preview import FilePreview

_MIN_AGREEING = 0.99
_MIN_CONTINUED = 5
_MIN_ORDERS = 5
_MAX_SHOWN = 4


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


def unit_price(preview: FilePreview, roles: Mapping[str, Guess], given: bool | None) -> Guess | None:
    """Whether an item's value stays the same when its quantity changes, or grows; None where that cannot be seen."""
    if given is not None:
        return Guess("unit_price", str(given).lower(), "given")
    if not {"item", "value", "quantity"} <= roles.keys():
        return None
    columns = {role: preview.sample[roles[role].value] for role in ("item", "value", "quantity")}
    numbers = {role: parse_numbers(columns[role], preview.form.decimal)[0] for role in ("value", "quantity")}
    rows = pd.DataFrame({"item": columns["item"]} | numbers)
    rows = rows[(rows["value"] > 0) & (rows["quantity"] > 0)]
    logs = np.log(rows[["value", "quantity"]])
    rows = rows.assign(value=logs["value"], unit=logs["value"] - logs["quantity"])
    groups = rows[rows.groupby("item")["quantity"].transform("nunique") > 1].groupby("item")
    if not len(groups):
        return None
    spread = groups[["value", "unit"]].std(ddof=0).median()
    is_unit = bool(spread["value"] < spread["unit"])
    change = "is the same for any quantity" if is_unit else "changes with the quantity"
    evidence = f"{roles['value'].value} of an item {change}, seen on {len(groups)} items"
    return Guess("unit_price", str(is_unit).lower(), evidence)
