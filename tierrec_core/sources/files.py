"""CSV and Parquet files with any column and event names, read as the four frames of a log."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import EVENT_NAMES, ITEMS
from tierrec_core.base.errors import DataError, EmptyDataError, MissingColumnError, UnreadableFileError
from tierrec_core.settings import ColumnMap, FilesSource
from tierrec_core.sources import time_formats
from tierrec_core.sources.frames import SourceFrames
from tierrec_core.sources.time_formats import TimeFormat

_OURS = {"user": "user_id", "item": "item_id", "session": "session_id"}
_IDS = ("user_id", "item_id", "session_id")
_OFFSET = r"(?:[zZ]|UTC|GMT|\d\d:\d\d.*[+-]\d\d:?(?:\d\d)?)$"
_MISSING = {"na", "n/a", "null", "none"}


def read_files(source: FilesSource, root: Path) -> SourceFrames:
    """Read the files that source names, relative to root.

    Raises UnreadableFileError, MissingColumnError, EmptyDataError, DataError for a value in a file, or SettingsError
    for an unknown timezone.
    """
    paths = _paths(source.paths, root)
    parts = {path: _events(path, source) for path in paths}
    events = pd.concat(_dated(parts, source), ignore_index=True)
    if events.empty:
        raise EmptyDataError(
            f"{', '.join(source.paths)}: no event is left; map at least one name to ours in source.events"
        )
    items = _derived_items(events) if source.items_path is None else _items(source, root, paths)
    return SourceFrames.of(events, items, _users(source, root), where=", ".join(source.paths))


def _paths(patterns: tuple[str, ...], root: Path) -> list[Path]:
    found: list[Path] = []
    for pattern in patterns:
        plain = root / pattern
        matches = [plain] if plain.is_file() or Path(pattern).is_absolute() else sorted(root.glob(pattern))
        if not matches:
            raise UnreadableFileError(f"{plain}: no such file; correct source.paths in params.yaml")
        found.extend(path for path in matches if path not in found)
    return found


def _table(path: Path, separator: str, key: str) -> pd.DataFrame:
    """Read one file; a CSV column is text, so that 007 stays 007, and whole numbers of Parquet never become floats."""
    if not path.is_file():
        raise UnreadableFileError(f"{path}: no such file; correct {key} in params.yaml")
    if path.stat().st_size == 0:
        raise EmptyDataError(f"{path}: the file is empty; name another in {key}")
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            frame = pd.read_parquet(path, dtype_backend="numpy_nullable")
            frame = frame.reset_index(drop=frame.index.names == [None])
        else:
            frame = pd.read_csv(path, sep=separator, dtype="string", keep_default_na=False, na_values=[""])
    except pd.errors.EmptyDataError as error:
        raise EmptyDataError(f"{path}: holds no column; name another file in {key}") from error
    except (ValueError, NotImplementedError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UnreadableFileError(
            f"{path}: cannot be read: {reason}; write it anew, or correct {key} or source.separator"
        ) from error
    if frame.empty:
        raise EmptyDataError(f"{path}: has a header but no rows; name another file in {key}")
    return pd.DataFrame(frame)


def _need(frame: pd.DataFrame, column: str, path: Path, key: str) -> None:
    if column in frame:
        return
    hint = " (one column only: is source.separator right?)" if len(frame.columns) == 1 else ""
    raise MissingColumnError(
        f"{path}: column {column!r} is missing; found {', '.join(map(str, frame.columns))}{hint}\n"
        f"name the column in {key} of params.yaml"
    )


def _events(path: Path, source: FilesSource) -> pd.DataFrame:
    frame = _table(path, source.separator, "source.paths")
    out = {}
    for field in ColumnMap.model_fields:
        column = getattr(source.columns, field)
        if column is not None:
            _need(frame, column, path, f"source.columns.{field}")
            out[_OURS.get(field, field)] = frame[column]
    events = pd.DataFrame(out)
    for name in _IDS:
        if name in events:
            events[name] = _text_ids(events[name])
    for name in ("value", "quantity"):
        if name in events:
            events[name] = _numbers(events[name], path, getattr(source.columns, name), f"source.columns.{name}")
    if "event" not in events:
        events["event"] = source.default_event
    events["event"] = _named(events["event"], source.events, path)
    return events[(events["event"] != "ignore").fillna(True)]


def _text_ids(ids: pd.Series) -> pd.Series:
    """Ids as text; a whole float loses its point, so that 12.0 is 12."""
    if pd.api.types.is_float_dtype(ids):
        whole = [f"{value:.0f}" if value % 1 == 0 else str(value) for value in ids.dropna()]
        return pd.Series(whole, ids.index[ids.notna()], "string").reindex(ids.index)
    return ids.astype("string").str.replace(r"^(\d+)\.0$", r"\1", regex=True)


def _numbers(values: pd.Series, path: Path, column: str, key: str) -> pd.Series:
    """Numbers, [N]; what is spelled NaN stays NaN, for the gate to judge, and differs from an empty cell."""
    spelled = values.astype("string").str.strip().str.lower()
    empty = values.isna() | spelled.isin(_MISSING)
    numbers = pd.to_numeric(values, errors="coerce").astype("Float64").to_numpy("float64", na_value=np.nan)
    bad = ~empty & np.isnan(numbers) & (spelled != "nan")
    _refuse(values, bad, path, column, f"is no number; correct it or {key}")
    return pd.Series(pd.arrays.FloatingArray(numbers, empty.to_numpy(dtype=bool)), values.index)


def _refuse(values: pd.Series, bad: pd.Series, path: Path, column: str, wanted: str) -> None:
    rows = np.flatnonzero(bad.fillna(False).to_numpy(dtype=bool))
    if rows.size:
        first = values.iloc[rows[0]]
        row = values.index[rows[0]] + 1
        raise DataError(f"{path}: column {column!r}, row {row}: {str(first)[:80]!r} {wanted} ({rows.size} such rows)")


def _named(names: pd.Series, events: Mapping[str, str], path: Path) -> pd.Series:
    ours = {name: name for name in (*EVENT_NAMES, "ignore")} | dict(events)
    texts = names.astype("string")
    mapped = texts.map(ours).astype("string")
    strange = texts[texts.notna() & ~mapped.isin([*EVENT_NAMES, "ignore"])]
    if len(strange):
        value = strange.iloc[0]
        raise DataError(
            f"{path}: event {value!r} ({int((strange == value).sum())} rows) is not one of {', '.join(EVENT_NAMES)}\n"
            f"map it in source.events, e.g. {{{value}: view}}, or to ignore to drop its rows"
        )
    return pd.Series(mapped)


def _dated(parts: Mapping[Path, pd.DataFrame], source: FilesSource) -> Iterator[pd.DataFrame]:
    """The events of each file with moments in UTC; columns of one type are written one way in all files.

    So the other days of a month settle what a file of a single day leaves open.
    """
    columns = {path: part["timestamp"] for path, part in parts.items()}
    ways = {
        dtype: time_formats.detect_time_format(
            pd.concat([column for column in columns.values() if column.dtype == dtype], ignore_index=True),
            source.timestamp_unit,
        )
        for dtype in {column.dtype for column in columns.values()}
    }
    for path, part in parts.items():
        yield part.assign(timestamp=_times(columns[path], ways[columns[path].dtype], source, path))


def _times(values: pd.Series, clock: TimeFormat, source: FilesSource, path: Path) -> pd.Series:
    column = source.columns.timestamp
    if clock.unit is None and not pd.api.types.is_datetime64_any_dtype(values):
        _refuse_mixed(values.astype("string").dropna(), path, column)
    times = time_formats.parse_times(values, clock, source.timezone)
    remedy = "correct it or source.columns.timestamp" + (", source.timestamp_unit" if clock.unit else "")
    wanted = f"is no time (most rows: {clock.name}); {remedy}"
    _refuse(values, values.notna() & times.isna(), path, column, wanted)
    return times


def _refuse_mixed(texts: pd.Series, path: Path, column: str) -> None:
    offset = texts.str.contains(_OFFSET, regex=True)
    if offset.any() and not offset.all():
        raise DataError(
            f"{path}: column {column!r} mixes times with an offset ({texts[offset].iloc[0]!r}) and without "
            f"({texts[~offset].iloc[0]!r})\nwrite all of them one way; source.timezone is for a column without offsets"
        )


def _items(source: FilesSource, root: Path, logs: list[Path]) -> pd.DataFrame:
    """ITEMS by the first filled cell of each column; a log that describes its items gives only the named columns."""
    path = root / str(source.items_path)
    names = {name: column for name, column in source.item_columns.model_dump().items() if column is not None}
    if path in logs:
        columns = list(dict.fromkeys(names.values()))
        parts = [_catalogue(log, source, names)[columns] for log in logs]
        return _one_row_an_item(pd.concat(parts, ignore_index=True), names, path)
    return _one_row_an_item(_catalogue(path, source, names), names, path)


def _catalogue(path: Path, source: FilesSource, names: Mapping[str, str]) -> pd.DataFrame:
    frame = _table(path, source.separator, "source.items_path")
    for name, column in names.items():
        _need(frame, column, path, f"source.item_columns.{name}")
    return frame


def _one_row_an_item(frame: pd.DataFrame, names: Mapping[str, str], path: Path) -> pd.DataFrame:
    ours = {_OURS.get(name, name): frame[column] for name, column in names.items()}
    attributes = frame.drop(columns=[name for name in frame if name in ITEMS.columns or name in names.values()])
    items = attributes.apply(_attribute).assign(**ours)
    items["item_id"] = _text_ids(items["item_id"])
    if "price" in items:
        price = _numbers(items["price"], path, names["price"], "source.item_columns.price")
        items["price"] = price.where(np.isfinite(price.to_numpy("float64", na_value=np.nan)))
    items = items.groupby("item_id", sort=False, as_index=False).first()
    category = items["category"].astype("string") if "category" in items else pd.NA
    return items.assign(category=pd.Series(category, items.index, "string").fillna("unknown"))


def _attribute(column: pd.Series) -> pd.Series:
    """Whole numbers and truth values as text, as they are in CSV, since they name groups; fractions as float64."""
    if pd.api.types.is_float_dtype(column):
        return column.astype("float64")
    names_groups = pd.api.types.is_integer_dtype(column) or pd.api.types.is_bool_dtype(column)
    return column.astype("string") if names_groups else column


def _derived_items(events: pd.DataFrame) -> pd.DataFrame:
    ids = events["item_id"].dropna().drop_duplicates()
    return pd.DataFrame({"item_id": ids, "title": ids, "category": "unknown"})


def _users(source: FilesSource, root: Path) -> pd.DataFrame | None:
    if source.users_path is None:
        return None
    path = root / source.users_path
    frame = _table(path, source.separator, "source.users_path")
    _need(frame, source.user_column, path, "source.user_column")
    ids = _text_ids(frame[source.user_column])
    users = frame.drop(columns=source.user_column).apply(_attribute).assign(user_id=ids)
    return users.dropna(subset=["user_id"]).drop_duplicates("user_id")
