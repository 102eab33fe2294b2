"""Infers which files are logs, and which of their columns are what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field

from tierrec_core.base.contracts import Event
from tierrec_core.base.errors import MissingColumnError
from tierrec_core.settings import Params, TableFormat
from tierrec_core.sources.numbers import currency_codes
from tierrec_core.sources.schema_inference.columns.ids import find_item_column, find_user_column
from tierrec_core.sources.schema_inference.columns.line_numbers import line_numbers
from tierrec_core.sources.schema_inference.columns.names import is_rating_name
from tierrec_core.sources.schema_inference.columns.packed import describe_packed, packed_cell
from tierrec_core.sources.schema_inference.columns.roles import (
    Guess,
    describe_content,
    describe_unified,
    find_by_name,
    find_event_column,
    find_recurring_user,
    is_item_attribute,
    overlap,
)
from tierrec_core.sources.schema_inference.columns.times import find_time_column
from tierrec_core.sources.schema_inference.order_lines import (
    carry_down,
    find_pieces,
    order_columns,
    returned_columns,
    several_items,
)
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.schema_inference.units.times_of_day import find_time_of_day
from tierrec_core.sources.time_formats import TimeFormat, detect_time_format, plausible_shares
from tierrec_core.sources.times.date_orders import DateFormat, date_formats

_OPTIONS = {"user": "user_column", "item": "item_column", "timestamp": "time_column", "event": "event_column"}
_FLAGS = {role: "--" + option.replace("_", "-") for role, option in _OPTIONS.items()}
_ESSENTIAL = ("user", "item", "timestamp")
_MIN_SHARED = 0.1
_MIN_SINGLE = 20  # rows, from which on one user or one item alone is a fault
_MAX_NO_EVENT = 0.05  # fewer rows without an event are faults, which the data gate reports
_OF_LINE = ("item", "quantity", "value")
_FURTHER = ("session", "quantity", "value", "currency", "channel", "split")


class InferenceOverrides(Params):
    """Settings given by the user, which replace inferred ones.

    event_column: "" for none; events maps event names in the files
    time_formats: patterns of single files, by path or name
    exclude: values by column, in addition to the inferred ones, unless infer_exclude is false
    """

    user_column: str | None = None
    item_column: str | None = None
    event_column: str | None = None
    time_column: str | None = None
    events: Mapping[str, str] = Field(default_factory=dict)
    default_event: Event | None = None
    separator: str | None = None
    quote: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    explode: str | None = None
    time_format: str | None = None
    time_formats: Mapping[str, str] = Field(default_factory=dict)
    timezone: str | None = None
    items_path: str | None = None
    users_path: str | None = None
    guests: tuple[str, ...] = ()
    unit_price: bool | None = None
    currency: str | None = None
    minor_units: tuple[str, ...] | None = None
    exclude: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    infer_exclude: bool = True

    def form(self, path: Path) -> dict[str, str]:
        """The given settings of TableFormat for a file."""
        given = {name: getattr(self, name, None) for name in TableFormat.model_fields}
        patterns = [pattern for name, pattern in self.time_formats.items() if path.match(name)]
        given["time_format"] = next(iter(patterns), self.time_format)
        return {name: value for name, value in given.items() if value is not None}

    @property
    def columns(self) -> dict[str, str]:
        """The given columns, by role."""
        given = {role: getattr(self, option) for role, option in _OPTIONS.items()}
        return {role: column for role, column in given.items() if column}


@dataclass(frozen=True)
class LogFile:
    """A file with a column of users, of items and of times.

    has_order_lines: see FilesSource.order_lines; assumption: a warning where nothing shows how dates are written
    """

    preview: FilePreview
    roles: dict[str, Guess]
    time_format: TimeFormat
    has_order_lines: bool = False
    assumption: str = ""

    def values(self, role: str) -> pd.Series:
        """The sampled values of the column that has this role; none if there is no such column."""
        return self.preview.sample[self.roles[role].value] if role in self.roles else pd.Series([], dtype="string")

    def currencies(self, role: str) -> pd.Series:
        """The currencies that the column of this role names, of values that are numbers; none without the column."""
        if not {role, "value"} <= self.roles.keys():
            return currency_codes(pd.Series([], dtype="string"))
        return currency_codes(self.values(role)[np.isfinite(self.preview.numbers(self.roles["value"].value)[0])])

    @property
    def returned(self) -> list[str]:
        """The columns of how many pieces of a row came back; none without a column of quantities."""
        return returned_columns(self.preview, self.roles["quantity"].value) if "quantity" in self.roles else []

    @property
    def event_names(self) -> pd.Series:
        """The name of the event of each sampled row, "" where it is empty; none without a column of events."""
        names = self.values("event").astype("string")
        return names.fillna("") if names.isna().mean() > _MAX_NO_EVENT else names

    @property
    def time_columns(self) -> list[str]:
        """The column of times, or those of days and of times of day."""
        return [self.roles[role].value for role in ("timestamp", "time_of_day") if role in self.roles]

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
        return self if shares[0] > shares[1] else self.with_time_evidence(time_format, "as in all files")

    def with_time_evidence(self, time_format: TimeFormat, reason: str) -> Self:
        """The same file with the format of its times, and why it is that."""
        time = self.roles["timestamp"]
        evidence = f"{time_format.name}; {reason}; {describe_content(self.preview, time.value)}"
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
    if fault := _single_id(logs):
        raise MissingColumnError(f"{logs[0].preview.path}: {fault}")
    logs = logs if given.currency == "" else _with_currencies(logs)
    return logs if given.time_format else _with_time_formats(logs)


def _single_id(logs: list[LogFile]) -> str:
    """Why ids that are the same in all rows are none; empty for several ids, and for a few rows."""
    for role in ("user", "item"):
        ids = pd.concat([log.values(role) for log in logs]).dropna()
        if len(ids) >= _MIN_SINGLE and ids.nunique() == 1:
            return (
                f"{logs[0].roles[role].value} has {ids.iloc[0]!r} in all rows; wanted ids of several {role}s; "
                f"name another column with {_FLAGS[role]}, or give a log of all {role}s"
            )
    return ""


def _with_time_formats(logs: list[LogFile]) -> list[LogFile]:
    """The logs with the format of all files' times, and each with its own order of days and months, as in ingest."""
    times = {log.preview.path: log.values("timestamp") for log in logs if not log.preview.time_format}
    if not times or len({values.dtype for values in times.values()}) > 1:
        return logs
    common = detect_time_format(pd.concat(times.values(), ignore_index=True))
    logs = [log.with_time_format(common) if log.preview.path in times and len(logs) > 1 else log for log in logs]
    own = date_formats(times, common) if common.unit is None else {}
    return [_with_dates(log, dates, logs) if (dates := own.get(log.preview.path)) else log for log in logs]


def _with_dates(log: LogFile, dates: DateFormat, logs: list[LogFile]) -> LogFile:
    """The log with the format of its dates, which becomes a setting where nothing shows it."""
    if len(logs) > 1 or dates.warning or dates.time_format is not log.time_format:  # else it is about the lone file
        log = log.with_time_evidence(dates.time_format, dates.evidence)
    form = log.preview.form
    if dates.pattern and "time_of_day" not in log.roles:
        form = form.model_copy(update={"time_format": dates.pattern})
    return replace(log, preview=replace(log.preview, form=form), assumption=dates.warning)


def _with_currencies(logs: list[LogFile]) -> list[LogFile]:
    """The logs, whose values are the column of currencies, too, where they alone name them and all name several."""
    codes = [log.currencies("currency" if "currency" in log.roles else "value") for log in logs]
    if pd.concat(codes).nunique() < 2:
        return logs
    return [
        replace(log, roles=log.roles | {"currency": replace(log.roles["value"], place="currency")})
        if "currency" not in log.roles and found.notna().any()
        else log
        for log, found in zip(logs, codes, strict=True)
    ]


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
    time = _time_role(preview, roles)
    if isinstance(time, str):
        return time
    roles["timestamp"], time_format = time
    if clock := find_time_of_day(preview, *time, {guess.value for guess in roles.values()}):
        roles["time_of_day"], preview, time_format = clock
    _infer_roles(preview, roles, carried, time_format, given)
    if given.currency == "" or "value" not in roles:
        roles.pop("currency", None)
    if fault := _id_fault(preview, roles, given):
        return f"{preview.path}: {fault}"
    for role in ("user", "item"):
        roles[role] = replace(roles[role], evidence=roles[role].evidence + describe_unified(preview, roles[role].value))
    return LogFile(preview, roles, time_format, order is not None)


def _id_fault(preview: FilePreview, roles: Mapping[str, Guess], given: InferenceOverrides) -> str:
    """Why the file has no column of one user id and one item id in each row; empty if it has."""
    if "item" not in given.columns:
        assigned = {guess.value for guess in roles.values()}
        if found := several_items(preview, roles.get("item"), assigned):
            return f"{found}; wanted one row per item, with the same order, user and time on each"
    for role in ("user", "item"):
        if role not in roles:
            return _missing(preview, role, f"a column of {role} ids") + describe_packed(preview)
        name = roles[role].value
        if cell := packed_cell(preview.sample[name], joined=role not in given.columns):
            return (
                f"{name} has several values in a cell such as {cell!r}; wanted one {role} id in each row; write a row "
                f"for each value, or name another column with {_FLAGS[role]}"
            )
    return ""


def _time_role(preview: FilePreview, roles: Mapping[str, Guess]) -> tuple[Guess, TimeFormat] | str:
    """The column of times, the given one if there is one, and its format; or the reason why there is none."""
    if (time := roles.get("timestamp")) is None:
        found = find_time_column(preview, {guess.value for guess in roles.values()})
        missing = _missing(preview, "timestamp", "a column of times")
        return found or f"{preview.path}: {missing}; --time-format says how they are written"
    if (time_format := preview.time_formats.get(time.value)) is None:
        return (
            f"{preview.path}: {_FLAGS['timestamp']} {time.value}: {time.evidence}, which are not times; "
            "wanted dates, or numbers since 1970; --time-format says how they are written, or give another column"
        )
    return time, time_format


def _infer_roles(
    preview: FilePreview,
    roles: dict[str, Guess],
    carried: frozenset[str],
    time_format: TimeFormat,
    given: InferenceOverrides,
) -> None:
    """Add the other roles. carried: columns that have one value for all lines of an order or all rows of an item"""
    assigned, has_user = {guess.value for guess in roles.values()}, "user" in roles

    def infer(role: str, find: Callable[[], Guess | None]) -> None:
        if role not in roles and (guess := find()):
            roles[role] = guess
            assigned.add(guess.value)

    time = roles["timestamp"].value
    if given.event_column != "":
        infer("event", lambda: find_event_column(preview, assigned | carried, given.events))
    infer("user", lambda: find_by_name("user", preview, assigned))
    numbered = line_numbers(preview.sample, time, roles["user"].value if "user" in roles else None)
    unfit = {"item": numbered, "session": numbered, "quantity": frozenset(returned_columns(preview, None))}
    for role in ("item", *_FURTHER):
        left_out = (carried if role in _OF_LINE else frozenset()) | unfit.get(role, frozenset())
        infer(role, partial(find_by_name, role, preview, assigned | left_out))
        if role == "session":
            if not has_user and (recurring := find_recurring_user(preview, roles, assigned)):
                roles["user"] = recurring
            carried |= order_columns(preview, roles) | _ratings_of_items(preview, roles)
    infer("quantity", lambda: find_pieces(preview, roles, assigned))
    infer("user", lambda: find_user_column(preview, time, time_format, assigned | numbered))
    if "user" in roles:
        infer("item", lambda: find_item_column(preview, roles["user"].value, assigned | numbered))
    infer("item", lambda: find_by_name("item", preview, assigned | carried))


def _ratings_of_items(preview: FilePreview, roles: Mapping[str, Guess]) -> frozenset[str]:
    """Columns of ratings that are one for each item, such as its average, and none of a user."""
    ratings = filter(is_rating_name, preview.columns if "item" in roles else ())
    return frozenset(name for name in ratings if is_item_attribute(preview, roles["item"].value, name))


def _missing(preview: FilePreview, role: str, wanted: str) -> str:
    columns = ", ".join(preview.columns) + (f", and nested {', '.join(preview.nested)}" if preview.nested else "")
    remedy = ", or the list of rows with --explode" if preview.nested else ""
    return f"found columns {columns}; wanted {wanted}; name it with {_FLAGS[role]}{remedy}"
