"""Recognises exports of orders: which cells an order gives on its first line only, and what its values are worth."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from tierrec_core.sources.numbers import parse_numbers
from tierrec_core.sources.schema_inference.column_roles import Guess, name_score
from tierrec_core.sources.schema_inference.preview import FilePreview

_MIN_AGREEING = 0.99
_MIN_CONTINUED = 5
_MAX_SHOWN = 4


def carry_down(preview: FilePreview) -> tuple[FilePreview, Guess | None, frozenset[str]]:
    """The preview with the cells that orders give on their first line only filled; the order column; those columns.

    The order column is filled and its values stand together. Without one, the preview is returned as it is.
    """
    sample, found = preview.sample, dict[str, list[str]]()
    sparse = [name for name in preview.columns if sample[name].isna().sum() >= _MIN_CONTINUED]
    for name in preview.columns if sparse else []:
        ids = sample[name]
        is_first = ids.ne(ids.shift()).to_numpy(dtype=bool, na_value=True)
        if name in sparse or name in preview.time_formats or is_first.sum() > ids.nunique() / _MIN_AGREEING:
            continue
        given = [other for other in sparse if (sample[other].notna() == is_first).mean() >= _MIN_AGREEING]
        if given:
            found[name] = given
    if not found:
        return preview, None, frozenset()
    order = max(found, key=lambda name: name_score("session", name))
    carried = found[order]
    filled = sample[carried].fillna(sample.groupby(order)[carried].transform("first"))
    evidence = f"order lines: only the first of an order has {', '.join(carried[:_MAX_SHOWN])}"
    guess = Guess("session", order, evidence)
    return replace(preview, sample=sample.assign(**filled)), guess, frozenset(carried)


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
