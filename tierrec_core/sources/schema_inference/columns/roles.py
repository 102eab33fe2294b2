"""Infers the role of each column from its name and its content."""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import EVENT_NAMES, FloatArray
from tierrec_core.base.ids import normal_id, text_ids
from tierrec_core.sources.numbers import currency_codes
from tierrec_core.sources.schema_inference.columns.names import (
    TYPE_SCORE,
    header_words,
    is_exact,
    is_rating_name,
    is_time_name,
    name_score,
)
from tierrec_core.sources.schema_inference.event_names import NO, YES, canonical_event, has_lines_only, is_return
from tierrec_core.sources.schema_inference.preview import FilePreview

_FLAGS = {
    "user": "--user-column",
    "item": "--item-column",
    "event": "--event-column",
    "timestamp": "--time-column, --time-format",
    "unit_price": "--unit-price, --line-total",
    "value currency": "--currency",
    "minor_units ...": "--minor-units COLUMN, '' for none",
    "timezone": "--timezone",
    "daily_sessions": "source.daily_sessions",
    "default_event": "--default-event",
    "file_events ...": "source.file_events",
    "returned": "source.returned",
    "unused": "source.columns, source.item_columns",
    "exclude ...": "--exclude COLUMN=VALUE for more, --exclude '' for none",
    "file ...": "--separator, --quote, --encoding, --decimal, --explode",
    "item ...": "--items",
    "user ...": "--users",
}
_IDS = ("user", "item")
NO_EVENT = "(empty)"  # in place of the name of an event that a row lacks
_FLAGS |= dict.fromkeys(("title", "category", "brand", "price"), "source.item_columns")

_MAX_EVENT_KINDS = 30
_MIN_NUMBERS, _MAX_CODE = 0.95, 4
_MIN_CONSTANT = 0.9
_MIN_NUMBERED, _OF_ROW_NUMBER = 0.99, 0.5
_OF_UNIQUE, _OF_FEW, _OF_NAMES = 0.5, 0.25, 0.8
_MAX_STAFF, _MIN_OF_STAFF = 10, 200
_MAX_RECURRING = 0.9
_MIN_BLANKS = 2
_MAX_FLAGS, _MIN_OF_FLAGS = 2, 50
_LIST_PRICES = frozenset({"list", "listed", "original", "regular", "rrp", "msrp", "uvp", "compare", "before", "liste"})
_PAID = frozenset({"discounted", "reduced", "final", "sale", "selling", "paid"})  # of prices beside the usual one
_MAX_PIECES, _OF_PIECES = 30, 0.5
_ID_NUMBER = r"-?\d+(?:\.0)?"
_MIN_WRITTEN = 0.05


@dataclass(frozen=True)
class Guess:
    """An inferred setting: its key or role (place), its value, and the evidence."""

    place: str
    value: str
    evidence: str

    @property
    def override(self) -> str:
        """What to give to `init`, or to change in params.yaml, for another value."""
        role, _, rest = self.place.partition(" ")
        if role == "horizon":
            return f"tasks.{rest}.horizon_days"
        if role == "event" and rest:
            return f"--event {shlex.quote(f'{rest.removeprefix(NO_EVENT)}=NAME')}"
        if rest.startswith("in ") and role == "timestamp":
            return f"--time-format {shlex.quote(f'{rest[3:]}=PATTERN')}"
        if rest.startswith("in "):
            return f"source.columns.{role}"
        return _FLAGS.get(self.place) or _FLAGS.get(f"{role} ...") or f"source.columns.{role}"


def find_by_name(role: str, preview: FilePreview, assigned: set[str]) -> Guess | None:
    """The column whose name fits the role best and whose content allows it; for ids, the filled share counts, too."""
    weight = {"user": _user_weight, "item": _id_weight, "session": _session_weight}.get(role, lambda _: 1.0)
    scores = {
        column: name_score(role, column) * weight(preview.sample[column]) * _amount_weight(role, column, preview)
        for column in preview.columns
        if column not in assigned
        and name_score(role, column)
        and _fits(role, preview, column)
        and not (role in _IDS and _is_no_id(preview, role, column))
    }
    best = max(scores, key=scores.__getitem__, default=None)
    if best is None:
        return None
    return Guess(role, best, f"by name; {describe_content(preview, best)}")


def find_recurring_user(preview: FilePreview, roles: Mapping[str, Guess], assigned: set[str]) -> Guess | None:
    """A column of users with several orders, where that of users has another value in each order; else none."""
    if not {"user", "session"} <= roles.keys():
        return None
    user, order = (preview.sample[roles[role].value] for role in ("user", "session"))
    num_users, num_pairs = user.nunique(), len(pd.DataFrame({"user": user, "order": order}).dropna().drop_duplicates())
    other = find_by_name("user", preview, assigned)
    if other is None or not _MAX_STAFF < num_users == order.nunique() == num_pairs:
        return None
    num_others = preview.sample[other.value].nunique()
    if not _MAX_STAFF < num_others < _MAX_RECURRING * num_users:
        return None
    return replace(other, evidence=f"{other.evidence}; {roles['user'].value} has another value in each order")


def _user_weight(values: pd.Series) -> float:
    """As _id_weight; a part of it for names of people, who share them, and for few values, such as those who sell."""
    is_name = values.dropna().astype("string").str.contains(r"\S\s\S").mean() > 1 / 2
    is_staff = values.nunique() <= _MAX_STAFF and len(values) >= _MIN_OF_STAFF
    return _id_weight(values) * (_OF_NAMES if is_name else 1) * (_OF_FEW if is_staff else 1)


def _amount_weight(role: str, column: str, preview: FilePreview) -> float:
    """Less than 1 for list prices, for pieces, which are few and whole, and for reduced prices that some rows lack."""
    if role != "value" or is_rating_name(column):
        return 1.0
    words = header_words(column)
    if not _LIST_PRICES.isdisjoint(words):
        return _OF_PIECES
    filled = 1.0 if _PAID.isdisjoint(words) else float(preview.sample[column].notna().mean())
    numbers, missing = preview.numbers(column)
    numbers = numbers[~missing]
    return filled * (_OF_PIECES if are_pieces(numbers) else 1.0)


def are_pieces(numbers: FloatArray) -> bool:
    """Whether numbers, [N], are few and whole, as those of pieces are."""
    return bool(len(numbers) and (np.abs(numbers) <= _MAX_PIECES).all() and (numbers % 1 == 0).all())


def is_time_like(preview: FilePreview, column: str) -> bool:
    """Whether a column is called as times are, or has times; digits alone, such as seconds since 1970, may be ids.

    They are ids where the whole name is that of ids, as are numbers of GA such as 1234567890.17, or where they are as
    short as numbers of days.
    """
    if is_time_name(column):
        return True
    found, are_digits = preview.time_formats.get(column), _are_digits(preview, column)
    if found is None or not (are_digits or found.unit):
        return found is not None
    if found.unit == "days":
        return not are_digits
    return not any(is_exact(name_score(role, column)) for role in _IDS)


def _are_digits(preview: FilePreview, column: str) -> bool:
    return bool(preview.sample[column].dropna().astype("string").str.fullmatch(_ID_NUMBER).all())


def _is_no_id(preview: FilePreview, role: str, column: str) -> bool:
    """Whether a column has times or, unless its whole name is that of ids, amounts or texts such as user agents."""
    if is_time_like(preview, column):
        return True
    is_text = role == "user" and is_free_text(preview.sample[column].dropna())
    return not is_exact(name_score(role, column)) and (is_text or is_amount(preview, column))


def is_amount(preview: FilePreview, column: str) -> bool:
    """Whether the values are numbers, and some are written as amounts are: with decimals, marks or a currency."""
    cells = preview.sample[column]
    filled, numbers = cells.dropna(), preview.numbers(column)[0][cells.notna()]
    if filled.empty:
        return False
    is_written = ~filled.astype("string").str.fullmatch(_ID_NUMBER).to_numpy(dtype=bool)
    return bool(np.isfinite(numbers).mean() >= _MIN_NUMBERS and is_written.mean() >= _MIN_WRITTEN)


def _id_weight(values: pd.Series) -> float:
    """The filled share; a part of it where the rows are numbered from 1, as the lines of an order are."""
    numbers = pd.to_numeric(values, errors="coerce").fillna(0).astype("float64")
    is_next = (numbers == 1) | (numbers - numbers.shift(fill_value=0) == 1)
    return float(values.notna().mean()) * (_OF_ROW_NUMBER if is_next.mean() >= _MIN_NUMBERED else 1)


def _session_weight(values: pd.Series) -> float:
    """1 for values that repeat as those of orders do, a part of it for numbers of lines and for few values."""
    filled = values.dropna()
    few = filled.nunique() <= _MAX_EVENT_KINDS
    return _OF_FEW if few else _OF_UNIQUE if filled.is_unique else 1.0


def describe_content(preview: FilePreview, column: str) -> str:
    """The number of distinct values of a column, with an example."""
    values = preview.sample[column].dropna()
    example = f", such as {str(values.iloc[0])[:40]!r}" if len(values) else ""
    return f"{values.nunique()} distinct values in {len(preview.sample)} rows{example}"


def describe_unified(preview: FilePreview, column: str) -> str:
    """How many ids are equal to others in their normal form, with an example; empty where all are written in it."""
    written = preview.sample[column].dropna().astype("string").drop_duplicates()
    ids = text_ids(written)
    changed = written[ids.ne(written.str.replace(r"\.0$", "", regex=True))]
    if changed.empty:
        return ""
    merged, example = len(ids) - ids.nunique(), changed.iloc[0]
    return f"; {example!r} is read as {normal_id(example)!r}, by which {merged} ids are equal to others"


def _fits(role: str, preview: FilePreview, column: str) -> bool:
    """Whether the values allow the role: amounts are numbers, and ids are neither fractional nor true or false."""
    filled = preview.sample[column].dropna()
    if filled.empty:
        return False
    if role in ("value", "quantity", "price"):
        numbers, missing = preview.numbers(column)
        return bool((~missing).any() and (~np.isnan(numbers[~missing])).mean() >= _MIN_NUMBERS)
    if role == "currency":
        return filled.nunique() <= _MAX_EVENT_KINDS and bool(currency_codes(filled).str.len().le(_MAX_CODE).all())
    if role == "split":
        return "test" in set(filled.astype("string").unique()) and filled.nunique() <= 3
    if role in (*_IDS, "session") and not is_exact(name_score(role, column)) and _is_flag(filled):
        return False
    if role in _IDS:
        return filled.dtype.kind not in "bf" or (filled.dtype.kind == "f" and bool((filled % 1 == 0).all()))
    return True


def _is_flag(filled: pd.Series) -> bool:
    """Whether the values are words of truth, or not more than two in many rows."""
    kinds = filled.drop_duplicates().astype("string").str.lower()
    return len(kinds) <= _MAX_FLAGS and (len(filled) >= _MIN_OF_FLAGS or bool(kinds.isin(YES | NO).all()))


def is_free_text(filled: pd.Series) -> bool:
    """Whether most values are several words, such as user agents and addresses."""
    return bool((filled.astype("string").str.count(r"\s") >= _MIN_BLANKS).mean() > 1 / 2)


def find_event_column(preview: FilePreview, assigned: set[str], names: Collection[str]) -> Guess | None:
    """A column of few distinct values, some of which are event names; the name of the column is scored, too.

    The filled share counts. A column that is named for events is one; one with a word for events in its name has one;
    others have two, or are called a type and have one in most rows or beside returns.
    names: further event names, which make a column of lines of orders one of events
    """
    best: tuple[float, Guess] | None = None
    for column in preview.columns:
        values = preview.sample[column].dropna()
        if column in assigned or not 0 < values.nunique() <= _MAX_EVENT_KINDS:
            continue
        shares = values.astype("string").value_counts(normalize=True)
        known = shares[[name in names or canonical_event(name) in EVENT_NAMES for name in shares.index]]
        named = name_score("event", column)
        if not any(name in names for name in shares.index) and has_lines_only(column, shares.index):
            continue
        score = (known.sum() + named) * len(values) / len(preview.sample)
        is_sales = named > 0 and (known.sum() > 1 / 2 or any(map(is_return, shares.index)))
        min_known = 0 if is_exact(named) else 1 if named > TYPE_SCORE or is_sales else 2
        if len(known) >= min_known and (best is None or score > best[0]):
            examples = ", ".join(sorted(known.index if len(known) else shares.index)[:4])
            best = score, Guess("event", column, f"{values.nunique()} kinds, such as {examples}")
    return None if best is None else best[1]


def is_item_attribute(preview: FilePreview, item: str, column: str) -> bool:
    """Whether nearly every item has a single value of the column, and not all have the same."""
    if preview.sample[column].nunique() < 2:
        return False
    groups = preview.sample[[item, column]].dropna().astype("string").groupby(item)[column]
    recurring = groups.size() > 1
    return bool(recurring.any() and (groups.nunique()[recurring] == 1).mean() >= _MIN_CONSTANT)


def overlap(values: pd.Series, ids: pd.Series) -> float:
    """Share of the distinct ids that occur among the values."""
    distinct, others = (set(text_ids(cells).dropna().unique()) for cells in (ids, values))
    return len(distinct & others) / max(len(distinct), 1)
