"""The files that describe items or users of a log, known by the ids that they share with it."""

from dataclasses import dataclass
from pathlib import Path

from tierrec_core.sources.schema_inference import default_settings
from tierrec_core.sources.schema_inference.column_roles import (
    Guess,
    find_by_name,
    is_item_attribute,
    name_score,
    overlap,
)
from tierrec_core.sources.schema_inference.log_files import InferenceOverrides, LogFile
from tierrec_core.sources.schema_inference.preview import FilePreview

_ATTRIBUTES = ("title", "category", "brand", "price")
_PER_ATTRIBUTE = 0.1


@dataclass(frozen=True)
class LookupTable:
    """A catalogue or a table of users, and the columns of ours that it has."""

    peek: FilePreview
    columns: dict[str, Guess]


def find_tables(
    log: LogFile, others: list[FilePreview], given: InferenceOverrides
) -> tuple[LookupTable | None, LookupTable | None]:
    """The catalogue and the table of users among the other files; else the log, if it describes its items.

    Of two files that share as many ids, the one that has more of our attributes is the catalogue.
    """
    forced = {
        Path(path): role for path, role in ((given.items_path, "item"), (given.users_path, "user")) if path is not None
    }
    best: dict[str, tuple[float, LookupTable]] = {}
    for peek in others:
        keys = {role: _key(peek, log, role) for role in ("item", "user")}
        role = forced.get(peek.path) or max(keys, key=lambda role: keys[role].score)
        shared = keys[role].shared
        if role in set(forced.values()) - {forced.get(peek.path)} or not (shared or peek.path in forced):
            continue
        table = _table(peek, role, keys[role], log)
        score = shared + _PER_ATTRIBUTE * len(table.columns)
        if score > best.get(role, (-1.0, table))[0]:
            best[role] = score, table
    catalogue = best["item"][1] if "item" in best else _described_in(log)
    return catalogue, best["user"][1] if "user" in best else None


@dataclass(frozen=True)
class _Key:
    """A column that may identify the rows of a table; shared is the share of the log's ids that it holds."""

    column: str
    shared: float
    score: float


def _key(peek: FilePreview, log: LogFile, role: str) -> _Key:
    """The likeliest one, by its name and by the ids that it shares."""
    keys = []
    for column in peek.columns:
        shared = overlap(peek.sample[column], log.values(role))
        named = (name_score(role, column) + (column == log.roles[role].value)) / 2
        keys.append(_Key(column, shared, named + shared))
    return max(keys, key=lambda key: key.score)


def _table(peek: FilePreview, role: str, key: _Key, log: LogFile) -> LookupTable:
    why = f"holds {key.shared:.0%} of the ids in {log.peek.path.name}"
    table = LookupTable(peek, {role: Guess(f"{role} of {peek.path.name}", key.column, why)})
    return LookupTable(peek, table.columns | _attributes(table)) if role == "item" else table


def _attributes(table: LookupTable) -> dict[str, Guess]:
    found: dict[str, Guess] = {}
    for role in _ATTRIBUTES:
        taken = {guess.value for guess in [*table.columns.values(), *found.values()]}
        if guess := find_by_name(role, table.peek, taken):
            found[role] = guess
    return found


def _described_in(log: LogFile) -> LookupTable | None:
    """The log as its own catalogue, if it repeats a title, category or brand with each item."""
    item = log.roles["item"]
    taken = {guess.value for guess in log.roles.values()}
    named = {role: find_by_name(role, log.peek, taken) for role in ("title", "category", "brand")}
    found = {
        role: guess
        for role, guess in named.items()
        if guess is not None and is_item_attribute(log.peek, item.value, guess.value)
    }
    return LookupTable(log.peek, {"item": item} | found) if found else None


def catalogue_attributes(catalogue: LookupTable | None, log: LogFile) -> list[str]:
    """Names of the ITEMS columns that group items."""
    if catalogue is None:
        return []
    ours = {role: guess.value for role, guess in catalogue.columns.items()}
    if catalogue.peek is log.peek:
        return [role for role in ("category", "brand") if role in ours]
    return default_settings.grouping_columns(catalogue.peek.sample, ours)
