"""Reads files of CSV, JSON lines and Parquet with any column and event names."""

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import EVENT_NAMES, ITEMS, RETURN, Event
from tierrec_core.base.errors import DataError, EmptyDataError, MissingColumnError
from tierrec_core.base.ids import text_ids
from tierrec_core.base.paths import Layout
from tierrec_core.settings.data import ColumnMap, FilesSource
from tierrec_core.sources.file_columns import (
    RETURNED,
    is_excluded,
    number_column,
    read_source_table,
    require_column,
    row_faults,
    time_pattern,
    without_returned,
)
from tierrec_core.sources.frames import SourceFrames, event_of_file, name_guests
from tierrec_core.sources.input_files.deliveries import read_deliveries, without_replaced
from tierrec_core.sources.input_files.patterns import match_files
from tierrec_core.sources.numbers import currency_codes, minor_unit_divisors
from tierrec_core.sources.times.clocks import with_time_of_day
from tierrec_core.sources.times.event_times import read_times

_CONTRACT_NAMES = {"user": "user_id", "item": "item_id", "session": "session_id"}
_REQUIRED = ("source.columns.user", "source.columns.item", "source.columns.timestamp")
_IDS = ("user_id", "item_id", "session_id")
_OF_ORDER = ("user_id", "timestamp", "timezone", "event", "channel", "currency")
_STATUS = "exclude "  # before the names of the columns that say which rows are left out
_FAULT, _MINOR_COLUMN = "fault", "minor units"
_NO_SESSIONS = ("-1",)  # Amplitude's, of events outside of sessions


def read_files(source: FilesSource, root: Path, _seed: int = 0) -> SourceFrames:
    """Read the files of the source, relative to root.

    Raises UnreadableFileError, MissingColumnError, EmptyDataError, DataError for a value in a file, or SettingsError
    for an unknown timezone.
    """
    deliveries = {delivery.path(Layout(root)): delivery for delivery in read_deliveries(Layout(root))}
    parts = read_log(source, root, list(deliveries))
    replacing = [path for path, delivery in deliveries.items() if delivery.replaces]
    events = pd.concat(without_replaced(parts, replacing, source.timezone), ignore_index=True)
    if events.empty:
        raise EmptyDataError(
            f"{', '.join(source.paths)}: no event is left; map at least one event name in source.events"
        )
    if source.items_path is None:
        ids = events["item_id"].dropna().drop_duplicates()
        items = pd.DataFrame({"item_id": ids, "title": ids, "category": "unknown"})
    else:
        items = _items(_files(source.items_path, root, "source.items_path"), source, list(parts))
    users = _users(_files(source.users_path, root, "source.users_path"), source)
    return SourceFrames.of(events, items, users, where=", ".join(source.paths))


def read_log(
    source: FilesSource, root: Path, deliveries: Sequence[Path], fresh: Sequence[Path] = ()
) -> dict[Path, pd.DataFrame]:
    """The events of each file of source.paths and each delivery, in this order.

    fresh: deliveries that need every mapped column that all other files have
    Raises the errors of read_files.
    """
    tables = {*_files(source.items_path, root, "items_path"), *_files(source.users_path, root, "users_path")}
    columns = _log_columns(source, root, tables) | {path: mapped_columns(path, source) for path in deliveries}
    _require_optional(columns, source, fresh)
    parts = {path: _events(part, path, source) for path, part in columns.items()}
    return dict(zip(parts, read_times(parts, source, fresh), strict=True))


def _files(pattern: str | None, root: Path, key: str) -> list[Path]:
    return [] if pattern is None else [root / name for name in match_files([pattern], root, f"{key} in params.yaml")]


def _log_columns(source: FilesSource, root: Path, tables: set[Path]) -> dict[Path, pd.DataFrame]:
    """The mapped columns of each log. A glob may match the tables of items and users, which are passed over."""
    if not source.paths:
        raise EmptyDataError(
            "params.yaml: source.paths: names no file, wanted those of the log; run `tierrec init LOG`"
        )
    columns = {}
    for name in match_files(source.paths, root, "source.paths in params.yaml"):
        path = root / name
        try:
            columns[path] = mapped_columns(path, source)
        except MissingColumnError:
            if name in source.paths or path not in tables:
                raise
    if not columns:
        raise EmptyDataError(f"{', '.join(source.paths)}: matches no log, only the tables of items and users")
    return columns


def mapped_columns(path: Path, source: FilesSource) -> pd.DataFrame:
    """The mapped columns that the file has, one row for each of its rows.

    Raises MissingColumnError for users, items and times.
    """
    frame = read_source_table(path, source, "source.paths")
    columns = {}
    for column, (names, key) in _mapped_names(source).items():
        found = [frame[name] for name in names if name in frame]
        if found:
            first, *others = found
            columns[column] = reduce(pd.Series.combine_first, others, first)
        elif key in _REQUIRED:
            require_column(frame, " or ".join(names), path, key)
    minor = (name for name in source.columns.names("value") if name in frame and name in source.minor_units)
    columns[_MINOR_COLUMN] = pd.Series(next(minor, ""), frame.index)
    faults = row_faults(frame, path, source)
    if "time_of_day" in columns:
        columns["timestamp"] = with_time_of_day(
            columns["timestamp"], columns["time_of_day"], time_pattern(path, source)
        )
    mapped = pd.DataFrame(columns)
    if faults.notna().any():
        mapped = mapped.mask(faults.notna()).assign(**{_FAULT: faults})
    if source.order_lines and "session_id" in mapped:
        carried = [name for name in columns if name in _OF_ORDER or name.startswith(_STATUS)]
        ids = mapped["session_id"]
        mapped["session_id"] = ids.fillna(ids.ffill().where(mapped["timestamp"].isna()))
        mapped[carried] = mapped[carried].fillna(mapped.groupby("session_id")[carried].transform("first"))
    return mapped


def _mapped_names(source: FilesSource) -> dict[str, tuple[tuple[str, ...], str]]:
    """For each column that is read, its names in the files and the key of params.yaml that has them."""
    fields = {
        _CONTRACT_NAMES.get(field, field): (source.columns.names(field), f"source.columns.{field}")
        for field in ColumnMap.model_fields
    }
    further = {f"{_STATUS}{name}": ((name,), "source.exclude") for name in source.exclude}
    return fields | further | {f"{RETURNED}{name}": ((name,), "source.returned") for name in source.returned}


def _require_optional(parts: Mapping[Path, pd.DataFrame], source: FilesSource, fresh: Sequence[Path]) -> None:
    """Raise MissingColumnError for a mapped column that no file has, or that only a fresh one lacks."""
    for column, (names, key) in _mapped_names(source).items():
        lacking = [path for path, part in parts.items() if column not in part]
        if names and lacking and (len(lacking) == len(parts) or set(lacking) <= set(fresh)):
            path = lacking[0]
            require_column(read_source_table(path, source, "source.paths"), names[0], path, key)


def _without_excluded(events: pd.DataFrame, source: FilesSource) -> pd.DataFrame:
    for name, values in source.exclude.items():
        if (status := f"{_STATUS}{name}") in events:
            events = events[~is_excluded(events[status], values)].drop(columns=status)
    return events


def _events(events: pd.DataFrame, path: Path, source: FilesSource) -> pd.DataFrame:
    events = _without_excluded(events, source)
    for name in _IDS:
        if name in events:
            events[name] = text_ids(events[name])
    if "session_id" in events:
        events["session_id"] = events["session_id"].mask(events["session_id"].isin(_NO_SESSIONS))
    events["user_id"] = name_guests(events["user_id"], source.guests)
    for name in ("value", "quantity"):
        if name in events:
            column = " or ".join(source.columns.names(name))
            events[name] = number_column(events[name], source, path, column, f"source.columns.{name}")
    events = without_returned(events, source, path)
    minor = max(events.pop(_MINOR_COLUMN).dropna(), default="")
    if minor and "value" in events:
        codes = currency_codes(events["currency"]) if "currency" in events else pd.Series(pd.NA, events.index, "string")
        events["value"] = events["value"] / minor_unit_divisors(codes.fillna((source.currency or "").upper()), minor)
    if source.currency and "value" in events and "currency" in events:
        currency = source.currency.upper()
        is_other = currency_codes(events["currency"]).fillna(currency) != currency
        is_number = np.isfinite(events["value"].to_numpy("float64", na_value=np.nan))
        events["value"] = events["value"].mask(is_other & is_number)
    if source.unit_price and "value" in events and "quantity" in events:
        events["value"] = events["value"] * events["quantity"].fillna(1.0)
    if "event" not in events:
        events["event"] = event_of_file(path, source.file_events, source.default_event)
    elif "" in source.events:
        events["event"] = events["event"].astype("string").fillna("")
    faults = events.get(_FAULT, pd.Series(pd.NA, events.index, "string"))
    events["event"] = _mapped_events(events["event"].mask(faults.notna()), source.events, path).fillna(faults)
    return _with_returns(events[(events["event"] != "ignore").fillna(True)])


def _with_returns(events: pd.DataFrame) -> pd.DataFrame:
    """The events, of which returns are purchases with a negative quantity and value."""
    is_return = (events["event"] == RETURN).fillna(False)
    if not is_return.any():
        return events
    amounts = [name for name in ("value", "quantity") if name in events]
    signed = {name: events[name].mask(is_return, -events[name].abs()) for name in amounts}
    quantity = signed.get("quantity", pd.Series(pd.NA, events.index, "Float64"))
    signed["quantity"] = quantity.mask(is_return & quantity.isna(), -1.0)
    return events.assign(**signed, event=events["event"].mask(is_return, Event.PURCHASE))


def _mapped_events(names: pd.Series, events: Mapping[str, str], path: Path) -> pd.Series:
    known = (*EVENT_NAMES, RETURN, "ignore")
    texts = names.astype("string")
    mapped = texts.map({name: name for name in known} | dict(events)).astype("string")
    unknown = texts[texts.notna() & ~mapped.isin(known)]
    if len(unknown):
        value = unknown.iloc[0]
        raise DataError(
            f"{path}: event {value!r} ({int((unknown == value).sum())} rows) is not one of {', '.join(EVENT_NAMES)}\n"
            f"map it in source.events, e.g. {{{value}: view}}, to return where it takes a "
            "purchase back, or to ignore to drop its rows"
        )
    return pd.Series(mapped)


def _items(paths: list[Path], source: FilesSource, logs: list[Path]) -> pd.DataFrame:
    """ITEMS with the first filled cell of each column; only the named columns, of all logs, where a file is a log."""
    names = {name: column for name, column in source.item_columns.model_dump().items() if column is not None}
    if set(paths) & set(logs):
        columns = list(dict.fromkeys(names.values()))
        parts = [_item_table(log, source, names)[columns] for log in logs]
    else:
        parts = [_item_table(path, source, names) for path in paths]
    return _unique_items(pd.concat(parts, ignore_index=True), names, source, paths[0])


def _item_table(path: Path, source: FilesSource, names: Mapping[str, str]) -> pd.DataFrame:
    frame = read_source_table(path, source, "source.items_path")
    for name, column in names.items():
        require_column(frame, column, path, f"source.item_columns.{name}")
    return frame[row_faults(frame, path, source).isna()]


def _unique_items(frame: pd.DataFrame, names: Mapping[str, str], source: FilesSource, path: Path) -> pd.DataFrame:
    mapped = {_CONTRACT_NAMES.get(name, name): frame[column] for name, column in names.items()}
    attributes = frame.drop(columns=[name for name in frame if name in ITEMS.columns or name in names.values()])
    items = attributes.apply(_attribute).assign(**mapped)
    items["item_id"] = text_ids(items["item_id"])
    if "price" in items:
        price = number_column(items["price"], source, path, names["price"], "source.item_columns.price")
        if names["price"] in source.minor_units:
            codes = pd.Series((source.currency or "").upper(), price.index)
            price = price / minor_unit_divisors(codes, names["price"])
        items["price"] = price.where(np.isfinite(price.to_numpy("float64", na_value=np.nan)))
    items = items.groupby("item_id", sort=False, as_index=False).first()
    category = items["category"].astype("string") if "category" in items else pd.NA
    return items.assign(category=pd.Series(category, items.index, "string").fillna("unknown"))


def _attribute(column: pd.Series) -> pd.Series:
    """Integers and booleans as text, as in CSV, since they are categories; fractions as float64."""
    if pd.api.types.is_float_dtype(column):
        return column.astype("float64")
    categorical = pd.api.types.is_integer_dtype(column) or pd.api.types.is_bool_dtype(column)
    return column.astype("string") if categorical else column


def _users(paths: list[Path], source: FilesSource) -> pd.DataFrame | None:
    if not paths:
        return None
    frames = {path: read_source_table(path, source, "source.users_path") for path in paths}
    for path, table in frames.items():
        require_column(table, source.user_column, path, "source.user_column")
    rows = [table[row_faults(table, path, source).isna()] for path, table in frames.items()]
    frame = pd.concat(rows, ignore_index=True)
    ids = text_ids(frame[source.user_column])
    users = frame.drop(columns=source.user_column).apply(_attribute).assign(user_id=ids)
    return users.dropna(subset=["user_id"]).drop_duplicates("user_id")
