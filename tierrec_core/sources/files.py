"""Reads CSV and Parquet files with any column and event names."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import EVENT_NAMES, ITEMS
from tierrec_core.base.errors import DataError, EmptyDataError, MissingColumnError, UnreadableFileError
from tierrec_core.settings.data import ColumnMap, FilesSource
from tierrec_core.sources.frames import SourceFrames
from tierrec_core.sources.time_formats import TimeFormat, detect_time_format, parse_times

_CONTRACT_NAMES = {"user": "user_id", "item": "item_id", "session": "session_id"}
_IDS = ("user_id", "item_id", "session_id")
_OFFSET = r"(?:[zZ]|UTC|GMT|\d\d:\d\d.*[+-]\d\d:?(?:\d\d)?)$"
_MISSING = {"na", "n/a", "null", "none"}


def read_files(source: FilesSource, root: Path, _seed: int = 0) -> SourceFrames:
    """Read the files of the source, relative to root.

    Raises UnreadableFileError, MissingColumnError, EmptyDataError, DataError for a value in a file, or SettingsError
    for an unknown timezone.
    """
    paths = _paths(source.paths, root)
    parts = {path: _events(path, source) for path in paths}
    events = pd.concat(_with_times(parts, source), ignore_index=True)
    if events.empty:
        raise EmptyDataError(
            f"{', '.join(source.paths)}: no event is left; map at least one event name in source.events"
        )
    if source.items_path is None:
        ids = events["item_id"].dropna().drop_duplicates()
        items = pd.DataFrame({"item_id": ids, "title": ids, "category": "unknown"})
    else:
        items = _items(root / source.items_path, source, paths)
    return SourceFrames.of(events, items, _users(source, root), where=", ".join(source.paths))


def _paths(patterns: tuple[str, ...], root: Path) -> list[Path]:
    paths: list[Path] = []
    for pattern in patterns:
        plain = root / pattern
        matches = [plain] if plain.is_file() or Path(pattern).is_absolute() else sorted(root.glob(pattern))
        if not matches:
            raise UnreadableFileError(f"{plain}: no such file; correct source.paths in params.yaml")
        paths.extend(path for path in matches if path not in paths)
    return paths


def _table(path: Path, separator: str, key: str) -> pd.DataFrame:
    """Read one file; CSV columns are text, so that 007 stays 007, and Parquet integers never become floats."""
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
        raise EmptyDataError(f"{path}: has no columns; name another file in {key}") from error
    except (ValueError, NotImplementedError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UnreadableFileError(
            f"{path}: cannot be read: {reason}; write it again, or correct {key} or source.separator"
        ) from error
    if frame.empty:
        raise EmptyDataError(f"{path}: has a header but no rows; name another file in {key}")
    return pd.DataFrame(frame)


def _require_column(frame: pd.DataFrame, column: str, path: Path, key: str) -> None:
    if column in frame:
        return
    hint = " (one column only: is source.separator right?)" if len(frame.columns) == 1 else ""
    raise MissingColumnError(
        f"{path}: column {column!r} is missing; found {', '.join(map(str, frame.columns))}{hint}\n"
        f"name the column in {key} of params.yaml"
    )


def _events(path: Path, source: FilesSource) -> pd.DataFrame:
    frame = _table(path, source.separator, "source.paths")
    columns = {}
    for field in ColumnMap.model_fields:
        column = getattr(source.columns, field)
        if column is not None:
            _require_column(frame, column, path, f"source.columns.{field}")
            columns[_CONTRACT_NAMES.get(field, field)] = frame[column]
    events = pd.DataFrame(columns)
    for name in _IDS:
        if name in events:
            events[name] = _text_ids(events[name])
    for name in ("value", "quantity"):
        if name in events:
            events[name] = _numbers(events[name], path, getattr(source.columns, name), f"source.columns.{name}")
    if "event" not in events:
        events["event"] = source.default_event
    events["event"] = _mapped_events(events["event"], source.events, path)
    return events[(events["event"] != "ignore").fillna(True)]


def _text_ids(ids: pd.Series) -> pd.Series:
    """Ids as text; 12.0 becomes 12."""
    if pd.api.types.is_float_dtype(ids):
        texts = [f"{value:.0f}" if value % 1 == 0 else str(value) for value in ids.dropna()]
        return pd.Series(texts, ids.index[ids.notna()], "string").reindex(ids.index)
    return ids.astype("string").str.replace(r"^(\d+)\.0$", r"\1", regex=True)


def _numbers(values: pd.Series, path: Path, column: str, key: str) -> pd.Series:
    """Numbers, [N]; a cell with the text NaN stays NaN, which the data gate distinguishes from an empty cell."""
    text = values.astype("string").str.strip().str.lower()
    empty = values.isna() | text.isin(_MISSING)
    numbers = pd.to_numeric(values, errors="coerce").astype("Float64").to_numpy("float64", na_value=np.nan)
    bad = ~empty & np.isnan(numbers) & (text != "nan")
    _reject(values, bad, path, column, f"is not a number; correct it or {key}")
    return pd.Series(pd.arrays.FloatingArray(numbers, empty.to_numpy(dtype=bool)), values.index)


def _reject(values: pd.Series, bad: pd.Series, path: Path, column: str, wanted: str) -> None:
    rows = np.flatnonzero(bad.fillna(False).to_numpy(dtype=bool))
    if rows.size:
        first = values.iloc[rows[0]]
        row = values.index[rows[0]] + 1
        raise DataError(f"{path}: column {column!r}, row {row}: {str(first)[:80]!r} {wanted} ({rows.size} such rows)")


def _mapped_events(names: pd.Series, events: Mapping[str, str], path: Path) -> pd.Series:
    known = (*EVENT_NAMES, "ignore")
    texts = names.astype("string")
    mapped = texts.map({name: name for name in known} | dict(events)).astype("string")
    unknown = texts[texts.notna() & ~mapped.isin(known)]
    if len(unknown):
        value = unknown.iloc[0]
        raise DataError(
            f"{path}: event {value!r} ({int((unknown == value).sum())} rows) is not one of {', '.join(EVENT_NAMES)}\n"
            f"map it in source.events, e.g. {{{value}: view}}, or to ignore to drop its rows"
        )
    return pd.Series(mapped)


def _with_times(parts: Mapping[Path, pd.DataFrame], source: FilesSource) -> Iterator[pd.DataFrame]:
    """The events of each file with times in UTC; columns of one type have one format in all files.

    All files together decide whether days or months come first.
    """
    columns = {path: part["timestamp"] for path, part in parts.items()}
    formats = {
        dtype: detect_time_format(
            pd.concat([column for column in columns.values() if column.dtype == dtype], ignore_index=True),
            source.timestamp_unit,
        )
        for dtype in {column.dtype for column in columns.values()}
    }
    for path, part in parts.items():
        yield part.assign(timestamp=_times(columns[path], formats[columns[path].dtype], source, path))


def _times(values: pd.Series, time_format: TimeFormat, source: FilesSource, path: Path) -> pd.Series:
    column = source.columns.timestamp
    if time_format.unit is None and not pd.api.types.is_datetime64_any_dtype(values):
        _reject_mixed(values.astype("string").dropna(), path, column)
    times = parse_times(values, time_format, source.timezone)
    remedy = "correct it or source.columns.timestamp" + (", source.timestamp_unit" if time_format.unit else "")
    wanted = f"is not a time (most rows: {time_format.name}); {remedy}"
    _reject(values, values.notna() & times.isna(), path, column, wanted)
    return times


def _reject_mixed(texts: pd.Series, path: Path, column: str) -> None:
    offset = texts.str.contains(_OFFSET, regex=True)
    if offset.any() and not offset.all():
        raise DataError(
            f"{path}: column {column!r} mixes times with an offset ({texts[offset].iloc[0]!r}) and without "
            f"({texts[~offset].iloc[0]!r})\nwrite all in one format; source.timezone is for a column without offsets"
        )


def _items(path: Path, source: FilesSource, logs: list[Path]) -> pd.DataFrame:
    """ITEMS with the first filled cell of each column; only the named columns where the file is a log."""
    names = {name: column for name, column in source.item_columns.model_dump().items() if column is not None}
    if path in logs:
        columns = list(dict.fromkeys(names.values()))
        parts = [_item_table(log, source, names)[columns] for log in logs]
        return _unique_items(pd.concat(parts, ignore_index=True), names, path)
    return _unique_items(_item_table(path, source, names), names, path)


def _item_table(path: Path, source: FilesSource, names: Mapping[str, str]) -> pd.DataFrame:
    frame = _table(path, source.separator, "source.items_path")
    for name, column in names.items():
        _require_column(frame, column, path, f"source.item_columns.{name}")
    return frame


def _unique_items(frame: pd.DataFrame, names: Mapping[str, str], path: Path) -> pd.DataFrame:
    mapped = {_CONTRACT_NAMES.get(name, name): frame[column] for name, column in names.items()}
    attributes = frame.drop(columns=[name for name in frame if name in ITEMS.columns or name in names.values()])
    items = attributes.apply(_attribute).assign(**mapped)
    items["item_id"] = _text_ids(items["item_id"])
    if "price" in items:
        price = _numbers(items["price"], path, names["price"], "source.item_columns.price")
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


def _users(source: FilesSource, root: Path) -> pd.DataFrame | None:
    if source.users_path is None:
        return None
    path = root / source.users_path
    frame = _table(path, source.separator, "source.users_path")
    _require_column(frame, source.user_column, path, "source.user_column")
    ids = _text_ids(frame[source.user_column])
    users = frame.drop(columns=source.user_column).apply(_attribute).assign(user_id=ids)
    return users.dropna(subset=["user_id"]).drop_duplicates("user_id")
