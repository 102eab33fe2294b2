"""Infers which files are logs, and which describe the items or users of a log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import pandas as pd
from pydantic import Field

from tierrec_core.base.errors import DataError, MissingColumnError
from tierrec_core.settings import Params, TableFormat
from tierrec_core.sources.file_columns import text_ids
from tierrec_core.sources.schema_inference.column_roles import (
    Guess,
    describe_content,
    find_by_name,
    find_event_column,
    find_item_column,
    find_time_column,
    find_user_column,
    is_exact,
    is_item_attribute,
    name_score,
    overlap,
)
from tierrec_core.sources.schema_inference.order_lines import carry_down, order_columns
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.time_formats import TimeFormat, detect_time_format, plausible_shares

_OPTIONS = {"user": "user_column", "item": "item_column", "timestamp": "time_column", "event": "event_column"}
_FLAGS = {role: "--" + option.replace("_", "-") for role, option in _OPTIONS.items()}
_ATTRIBUTES = ("title", "category", "brand", "price")
_ESSENTIAL = ("user", "item", "timestamp")
_MIN_SHARED = 0.1
_MIN_SHARED_IDS = 0.01
_MIN_BARE = 0.5
_SHORT_NUMBER = r"-?\d{1,4}"
_MIN_UNIQUE, _MIN_UNIQUE_NUMBERS = 0.1, 0.9
_PER_ATTRIBUTE = 0.1
_MAX_ATTRIBUTES = 5
_OF_LINE = ("item", "quantity", "value")
_FURTHER = ("session", "quantity", "value", "channel", "split")


class InferenceOverrides(Params):
    """Settings given by the user, which replace inferred ones. events maps event names in the files."""

    user_column: str | None = None
    item_column: str | None = None
    event_column: str | None = None
    time_column: str | None = None
    events: Mapping[str, str] = Field(default_factory=dict)
    separator: str | None = None
    quote: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    explode: str | None = None
    time_format: str | None = None
    timezone: str | None = None
    items_path: str | None = None
    users_path: str | None = None
    guests: tuple[str, ...] = ()
    unit_price: bool | None = None

    @property
    def form(self) -> dict[str, str]:
        """The given settings of TableFormat."""
        given = {name: getattr(self, name) for name in TableFormat.model_fields}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def columns(self) -> dict[str, str]:
        """The given columns, by role."""
        given = {role: getattr(self, option) for role, option in _OPTIONS.items()}
        return {role: column for role, column in given.items() if column is not None}


@dataclass(frozen=True)
class LogFile:
    """A file with a column of users, of items and of times. has_order_lines: see FilesSource.order_lines"""

    preview: FilePreview
    roles: dict[str, Guess]
    time_format: TimeFormat
    has_order_lines: bool = False

    def values(self, role: str) -> pd.Series:
        """The sampled values of the column that has this role; none if there is no such column."""
        return self.preview.sample[self.roles[role].value] if role in self.roles else pd.Series([], dtype="string")

    def continues(self, first: Self) -> bool:
        """Whether the file has the columns of the first one; or, under other names, its items or users many times."""
        if all(first.roles[role].value in self.preview.columns for role in _ESSENTIAL):
            return True
        items = self.values("item")
        shared = max(overlap(self.values(role), first.values(role)) for role in ("user", "item"))
        return shared >= _MIN_SHARED and items.nunique() <= len(items) / 2

    def like(self, first: Self) -> Self:
        """The same file with the roles that the first one gives to columns of the same names."""
        shared = {role: guess for role, guess in first.roles.items() if guess.value in self.preview.columns}
        used = {guess.value for guess in shared.values()}
        return replace(
            self, roles={role: guess for role, guess in self.roles.items() if guess.value not in used} | shared
        )

    def with_time_format(self, time_format: TimeFormat) -> Self:
        """The same file with the format of all files' times, unless its own times have another one."""
        time = self.roles["timestamp"]
        shares = plausible_shares(self.preview.sample[[time.value]], [self.time_format, time_format]).to_numpy()[0]
        if shares[0] > shares[1]:
            return self
        evidence = f"{time_format.name}; as in all files; {describe_content(self.preview, time.value)}"
        return replace(
            self, time_format=time_format, roles=self.roles | {"timestamp": replace(time, evidence=evidence)}
        )


def find_logs(previews: list[FilePreview], given: InferenceOverrides) -> list[LogFile]:
    """The first log and those that continue it, perhaps with other names of columns.

    Times of one type get one format, as in ingest: all files together decide whether days or months come first.
    Raises MissingColumnError when there is no log, with the missing column of each file and its flag.
    """
    results = [_log(preview, given) for preview in previews]
    logs = [result for result in results if isinstance(result, LogFile)]
    if not logs:
        raise MissingColumnError("\n".join(map(str, results)))
    logs = [logs[0], *(log.like(logs[0]) for log in logs[1:] if log.continues(logs[0]))]
    times = [log.values("timestamp") for log in logs]
    if len(logs) == 1 or given.time_format or len({values.dtype for values in times}) > 1:
        return logs
    time_format = detect_time_format(pd.concat(times, ignore_index=True))
    return [log.with_time_format(time_format) for log in logs]


def _log(preview: FilePreview, given: InferenceOverrides) -> LogFile | str:
    """The file as a log, or the reason why it is not a log."""
    for role, column in given.columns.items():
        if column not in preview.columns:
            columns = ", ".join(preview.columns)
            return f"{preview.path}: {_FLAGS[role]} {column} is not a column; wanted one of {columns}"
    preview, order, carried = carry_down(preview)
    roles = {
        role: Guess(role, name, f"given; {describe_content(preview, name)}") for role, name in given.columns.items()
    }
    roles |= {"session": order} if order else {}
    assigned = {guess.value for guess in roles.values()}
    if (time := roles.get("timestamp")) is not None:
        if (time_format := preview.time_formats.get(time.value)) is None:
            return (
                f"{preview.path}: {_FLAGS['timestamp']} {time.value}: {time.evidence}, which are not times; "
                "wanted dates, or numbers since 1970; --time-format says how they are written, or give another column"
            )
    elif (inferred := find_time_column(preview, assigned)) is not None:
        roles["timestamp"], time_format = inferred
        assigned.add(roles["timestamp"].value)
    else:
        return _missing(preview, "timestamp", "a column of times") + "; --time-format says how they are written"

    def infer(role: str, find: Callable[[], Guess | None]) -> None:
        if role not in roles and (guess := find()):
            roles[role] = guess
            assigned.add(guess.value)

    infer("event", lambda: find_event_column(preview, assigned | carried, given.events))
    for role in ("user", "item", *_FURTHER):
        infer(role, partial(find_by_name, role, preview, assigned | (carried if role in _OF_LINE else frozenset())))
        if role == "session":
            carried |= order_columns(preview, roles)
    infer("user", lambda: find_user_column(preview, roles["timestamp"].value, time_format, assigned))
    infer("item", lambda: find_item_column(preview, assigned))
    for role in ("user", "item"):
        if role not in roles:
            return _missing(preview, role, f"a column of {role} ids")
    return LogFile(preview, roles, time_format, order is not None)


def _missing(preview: FilePreview, role: str, wanted: str) -> str:
    columns = ", ".join(preview.columns) + (f", and nested {', '.join(preview.nested)}" if preview.nested else "")
    return f"{preview.path}: found columns {columns}; wanted {wanted}; name it with {_FLAGS[role]}"


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
        if shared < _MIN_SHARED_IDS:
            _refuse_other_ids(preview, keys[role], log, role, forced=preview.path in forced)
        if role in set(forced.values()) - {forced.get(preview.path)} or not (shared or preview.path in forced):
            continue
        table = _table(preview, role, keys[role], log)
        score = shared + _PER_ATTRIBUTE * len(table.columns)
        if score > best.get(role, (-1.0, table))[0]:
            best[role] = score, table
    catalogue = best["item"][1] if "item" in best else _described_in(log)
    return catalogue, best["user"][1] if "user" in best else None


@dataclass(frozen=True)
class _Key:
    """A column that may be the key of a table; shared is the share of the log's ids in it."""

    column: str
    shared: float
    score: float


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
        keys.append(_Key(column, shared, (names[column] + (column == own)) / 2 + shared))
    return max(keys, key=lambda key: key.score)


def _may_be_key(values: pd.Series, *, is_named: bool) -> bool:
    """Whether the values differ from row to row. Short numbers such as ages are equal to some ids by accident."""
    filled = text_ids(values).dropna()
    is_short = bool(filled.str.fullmatch(_SHORT_NUMBER).all())
    return filled.nunique() >= (_MIN_UNIQUE_NUMBERS if is_short and not is_named else _MIN_UNIQUE) * len(filled)


def other_ids(preview: FilePreview, log: LogFile) -> str:
    """How the ids of a table that is named as one of items or users differ from the log's; empty for other files."""
    for role in ("item", "user"):
        key = _key(preview, log, role)
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
