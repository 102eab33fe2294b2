"""Finds lines of an order that list a product again: variants of a configured product, and parts of a bundle."""

from collections.abc import Iterator, Mapping
from functools import reduce

import numpy as np
import pandas as pd

from tierrec_core.base.errors import DataError
from tierrec_core.base.ids import text_ids
from tierrec_core.sources.file_columns import ANY_VALUE, is_excluded
from tierrec_core.sources.numbers import parse_numbers
from tierrec_core.sources.schema_inference.columns.names import name_score
from tierrec_core.sources.schema_inference.columns.roles import Guess
from tierrec_core.sources.schema_inference.event_names import is_kind_name, words
from tierrec_core.sources.schema_inference.preview import FilePreview

_PARENTS = {"parent", "bundled", "eltern", "parentid"}
_OF_PARENT = {"configurable", "variable", "bundle", "grouped", "parent", "master", "konfigurierbar"}
_MIN_FOUND, _MIN_ZEROS, _MIN_LINES = 0.9, 0.9, 5
_MAX_KINDS = 30


def find_parts(preview: FilePreview, roles: Mapping[str, Guess]) -> dict[str, dict[str, str]]:
    """By column, the values of the lines that are left out, each with the reason, so that a product counts once.

    Raises DataError where the parts have prices, the products have none, and no column tells them apart.
    """
    lines = _Lines(preview, roles)
    for name in (name for name in preview.columns if _PARENTS & set(words(name))):
        if key := lines.line_ids(name):
            return lines.by_parent(name, key)
    return {} if "event" in roles else lines.by_kind() or lines.by_zero()


class _Lines:
    """The sampled lines of orders. worth: NaN without a column of values, [N]"""

    def __init__(self, preview: FilePreview, roles: Mapping[str, Guess]) -> None:
        self._preview, self._sample = preview, preview.sample
        self._value = roles["value"].value if "value" in roles else None
        keys = ("session",) if "session" in roles else ("user", "timestamp")
        order = [self._sample[roles[role].value].astype("string").fillna("") for role in keys]
        self._order: pd.Series = reduce(lambda one, other: one.str.cat(other, sep="\x1f"), order)
        cells = self._sample[self._value] if self._value else pd.Series(np.nan, self._sample.index)
        self._worth = pd.Series(parse_numbers(cells, preview.form.decimal)[0], self._sample.index).fillna(0)

    def line_ids(self, parent: str) -> str | None:
        """The column in which other lines of the same order have what the parts have as their parent."""
        parents = self._pairs(parent)[self._is_part(parent)]
        if not 0 < len(parents) < len(self._sample):
            return None
        for name in (name for name in self._preview.columns if name != parent):
            pairs = self._pairs(name)
            is_own = (parents == pairs[parents.index]).any()
            if not is_own and parents.isin(set(pairs.dropna())).mean() >= _MIN_FOUND:
                return name
        return None

    def by_parent(self, parent: str, key: str) -> dict[str, dict[str, str]]:
        """The parts; or the products, where the parts alone have a price."""
        is_part = self._is_part(parent)
        is_product = self._pairs(key).isin(set(self._pairs(parent)[is_part])) & ~is_part
        parts, products = (float((self._worth[rows] == 0).mean()) for rows in (is_part, is_product))
        if self._value is None or parts >= _MIN_ZEROS or products < _MIN_ZEROS:
            return {parent: {ANY_VALUE: "parts of a product whose own line is kept"}}
        for name in self._kinds():
            cells = self._sample[name].astype("string").str.lower()
            if cells[is_product].notna().all() and not cells[~is_product].isin(set(cells[is_product])).any():
                return {name: dict.fromkeys(cells[is_product], "products without a price, whose parts are kept")}
        raise DataError(
            f"{self._preview.path}: lines with {parent} are parts of others, which have no {self._value}; one of both "
            "must not count\n"
            f"--exclude '{parent}={ANY_VALUE}' leaves the parts out, --exclude COLUMN=VALUE the products"
        )

    def by_kind(self) -> dict[str, dict[str, str]]:
        """Products of a kind such as configurable, each with a line of another kind and the same id in its order."""
        for name in self._kinds():
            cells = self._sample[name].astype("string").str.lower()
            kinds = {kind for kind in cells.dropna().unique() if _OF_PARENT & set(words(kind))}
            is_product = cells.isin(kinds)
            for item in self._item_columns() if is_product.any() and not is_product.all() else ():
                pairs = self._pairs(item)
                is_listed = pairs[is_product].isin(set(pairs[~is_product].dropna()))
                is_variant = pairs.isin(set(pairs[is_product].dropna())) & ~is_product
                if is_listed.mean() >= _MIN_FOUND and (self._worth[is_variant] != 0).mean() >= _MIN_ZEROS:
                    return {name: dict.fromkeys(kinds, f"products whose variant has the same {item} and is kept")}
        return {}

    def by_zero(self) -> dict[str, dict[str, str]]:
        """Lines that are worth nothing, where each has a line with a price and the same id in its order."""
        is_zero = (self._worth == 0) & (self._sample[self._value].notna() if self._value else False)
        for item in self._item_columns() if self._value and is_zero.sum() >= _MIN_LINES else ():
            pairs = self._pairs(item)
            if pairs[is_zero].isin(set(pairs[~is_zero].dropna())).mean() >= _MIN_FOUND:
                texts = self._sample[self._value][is_zero].astype("string").str.lower().unique()
                reason = f"worth nothing; the order has the same {item} with a price, which is kept"
                return {str(self._value): dict.fromkeys(texts, reason)}
        return {}

    def _is_part(self, parent: str) -> pd.Series:
        return is_excluded(self._sample[parent], [ANY_VALUE])

    def _pairs(self, name: str) -> pd.Series:
        """Order and id of each line; missing without an id."""
        pairs: pd.Series = self._order.str.cat(text_ids(self._sample[name]).astype("string"), sep="\x1e")
        return pairs

    def _kinds(self) -> Iterator[str]:
        return (
            name for name in self._preview.columns if is_kind_name(name) and self._sample[name].nunique() <= _MAX_KINDS
        )

    def _item_columns(self) -> Iterator[str]:
        return (name for name in self._preview.columns if name_score("item", name) and name != self._value)
