"""Infers which files describe the items or users of a log, and by which of their columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tierrec_core.base.errors import DataError
from tierrec_core.base.ids import text_ids
from tierrec_core.sources.schema_inference.columns.names import header_words, is_exact, name_score
from tierrec_core.sources.schema_inference.columns.roles import Guess, find_by_name, is_item_attribute, overlap
from tierrec_core.sources.schema_inference.file_roles import InferenceOverrides, LogFile
from tierrec_core.sources.schema_inference.preview import FilePreview

_ATTRIBUTES = ("title", "category", "brand", "price")
_MIN_SHARED_IDS, _MIN_SHARED_UNNAMED = 0.01, 0.5
_MIN_BARE = 0.5
_SHORT_NUMBER = r"-?\d{1,4}"
_MIN_UNIQUE, _MIN_UNIQUE_NUMBERS = 0.1, 0.9
_PER_ATTRIBUTE = 0.1
_MAX_ATTRIBUTES = 5
_PAIR_NAMES = {"property", "attribute", "feature", "key", "characteristic", "field", "parameter", "merkmal"}
_PAIR_VALUES = {"value", "values"}


@dataclass(frozen=True)
class LookupTable:
    """A file that describes items or users, and its columns by role."""

    preview: FilePreview
    columns: dict[str, Guess]


def find_tables(
    log: LogFile, others: list[FilePreview], given: InferenceOverrides
) -> tuple[LookupTable | None, LookupTable | None]:
    """The item table and the user table among the other files; the log is the item table if it describes its items.

    Files are compared by the share of the log's ids in them, then by their number of item attributes.
    """
    forced = {
        Path(path): role for path, role in ((given.items_path, "item"), (given.users_path, "user")) if path is not None
    }
    best: dict[str, tuple[float, LookupTable]] = {}
    for preview in others:
        keys = {role: _key(preview, log, role) for role in ("item", "user")}
        role = forced.get(preview.path) or max(keys, key=lambda role: keys[role].score)
        shared = keys[role].shared
        if reason := _in_pairs(preview, keys[role].column):
            if preview.path in forced:
                raise DataError(f"{preview.path}: {reason}")
            continue
        has_both = role == "item" and log.roles["user"].value in preview.columns
        if preview.path not in forced and (has_both or _has_events(preview, keys[role].column)):
            continue
        is_bound = keys[role].is_named or preview.path in forced
        is_few = shared < (_MIN_SHARED_IDS if is_bound else _MIN_SHARED_UNNAMED)
        if is_few:
            _refuse_other_ids(preview, keys[role], log, role, forced=preview.path in forced)
        if role in set(forced.values()) - {forced.get(preview.path)} or (is_few and preview.path not in forced):
            continue
        table = _table(preview, role, keys[role], log)
        score = shared + _PER_ATTRIBUTE * len(table.columns)
        if score > best.get(role, (-1.0, table))[0]:
            best[role] = score, table
    catalogue = best["item"][1] if "item" in best else _described_in(log)
    return catalogue, best["user"][1] if "user" in best else None


@dataclass(frozen=True)
class _Key:
    """A column that may be the key of a table; shared is the share of the log's ids in it.

    is_named: whether it is called as the log's column or as others of this role
    """

    column: str
    shared: float
    score: float
    is_named: bool


def _key(preview: FilePreview, log: LogFile, role: str) -> _Key:
    """The likeliest key, by its name and by the ids that it shares."""
    own = log.roles[role].value
    names = {column: name_score(role, column) for column in preview.columns}
    likely = [
        column
        for column, named in names.items()
        if _may_be_key(preview.sample[column], is_named=column == own or is_exact(named))
    ]
    keys = []
    for column in likely or preview.columns:
        shared = overlap(preview.sample[column], log.values(role))
        named = names[column] + (column == own)
        keys.append(_Key(column, shared, named / 2 + shared, named > 0))
    return max(keys, key=lambda key: key.score)


def _may_be_key(values: pd.Series, *, is_named: bool) -> bool:
    """Whether the values differ from row to row. Short numbers such as ages are equal to some ids by accident."""
    filled = text_ids(values).dropna()
    is_short = bool(filled.str.fullmatch(_SHORT_NUMBER).all())
    return filled.nunique() >= (_MIN_UNIQUE_NUMBERS if is_short and not is_named else _MIN_UNIQUE) * len(filled)


def _has_events(preview: FilePreview, key: str) -> bool:
    """Whether a table has times and several rows of most users or items, as of what they did and not what they are."""
    ids = preview.sample[key].dropna()
    return bool(preview.time_formats) and ids.nunique() <= len(ids) / 2


def _in_pairs(preview: FilePreview, key: str) -> str:
    """What shows that a table has a row for each attribute of an item, not for each item; empty if it has not."""
    names = {name: frozenset(header_words(name)) for name in preview.columns if name != key}
    attribute = next((name for name, found in names.items() if found & _PAIR_NAMES), None)
    value = next((name for name, found in names.items() if found & _PAIR_VALUES and name != attribute), None)
    cells = preview.sample[key].dropna()
    if attribute is None or value is None or cells.nunique() > len(cells) / 2:
        return ""
    return (
        f"has an attribute of {key} in each row, called {attribute}, with its {value}; wanted one row for each {key}, "
        f"with a column for each attribute; pivot it"
    )


def other_ids(preview: FilePreview, log: LogFile) -> str:
    """Why a file that is called as a table of items or users is not one of the log's; empty for other files."""
    for role in ("item", "user"):
        key = _key(preview, log, role)
        if reason := _in_pairs(preview, key.column):
            return reason
        if key.shared < _MIN_SHARED_IDS and is_exact(name_score(role, key.column)):
            return _examples(preview, key, log, role)
    return ""


def _examples(preview: FilePreview, key: _Key, log: LogFile, role: str, hint: str = "") -> str:
    here, there = (text_ids(cells).dropna() for cells in (preview.sample[key.column], log.values(role)))
    return (
        f"{key.column} has {key.shared:.0%} of the {role} ids in {log.preview.path.name}{hint}: "
        f"here {', '.join(here.iloc[:2])}, there {', '.join(there.iloc[:2])}"
    )


def _refuse_other_ids(preview: FilePreview, key: _Key, log: LogFile, role: str, *, forced: bool) -> None:
    """Raise DataError for a table whose ids are the log's but for their zeros, and for a given one with other ids."""
    ids, values = (cells.dropna().astype("string") for cells in (log.values(role), preview.sample[key.column]))
    bare = overlap(values.str.lstrip("0"), ids.str.lstrip("0"))
    if not forced and bare < _MIN_BARE:
        return
    hint = f"; {bare:.0%} would without leading zeros" if bare >= _MIN_BARE else ""
    raise DataError(
        f"{preview.path}: {_examples(preview, key, log, role, hint)}\n"
        f"export both with the same ids, as text; a spreadsheet drops zeros at the start"
    )


def _table(preview: FilePreview, role: str, key: _Key, log: LogFile) -> LookupTable:
    evidence = f"has {key.shared:.0%} of the ids in {log.preview.path.name}"
    columns = {role: Guess(f"{role} of {preview.path.name}", key.column, evidence)}
    for attribute in _ATTRIBUTES if role == "item" else ():
        if guess := find_by_name(attribute, preview, {guess.value for guess in columns.values()}):
            columns[attribute] = guess
    return LookupTable(preview, columns)


def _described_in(log: LogFile) -> LookupTable | None:
    """The log as the item table, if it repeats a title, category or brand with each item."""
    preview, item = log.preview, log.roles["item"]
    assigned = {guess.value for guess in log.roles.values()}
    named = {role: find_by_name(role, preview, assigned) for role in ("title", "category", "brand")}
    attributes = {
        role: guess for role, guess in named.items() if guess and is_item_attribute(preview, item.value, guess.value)
    }
    return LookupTable(preview, {"item": item} | attributes) if attributes else None


def catalogue_attributes(catalogue: LookupTable | None, log: LogFile) -> list[str]:
    """Names of the ITEMS columns that group items."""
    if catalogue is None:
        return []
    columns = {role: guess.value for role, guess in catalogue.columns.items()}
    if catalogue.preview is log.preview:
        return [role for role in ("category", "brand") if role in columns]
    return _grouping_columns(catalogue.preview.sample, columns)


def _grouping_columns(items: pd.DataFrame, roles: Mapping[str, str]) -> list[str]:
    """Columns with at least two distinct values, and two items for each on average."""
    names = {column: role for role, column in roles.items()}
    excluded = {roles[role] for role in ("item", "title", "price") if role in roles}
    groups = {
        names.get(str(column), str(column)): items[column].nunique()
        for column in items.columns
        if column not in excluded and pd.to_numeric(items[column], errors="coerce").mod(1).fillna(0).eq(0).all()
    }
    grouping = [name for name, num in groups.items() if 2 <= num <= len(items) / 2]
    return sorted(grouping, key=lambda name: name not in roles)[:_MAX_ATTRIBUTES]
