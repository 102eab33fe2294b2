"""The times of events: one format for all files whose columns are alike, and its own for a file that needs one."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from tierrec_core.base.errors import DataError
from tierrec_core.settings.data import FilesSource
from tierrec_core.sources.file_columns import mostly, reject_most, time_pattern
from tierrec_core.sources.input_files.deliveries import local_days
from tierrec_core.sources.time_formats import (
    OFFSET,
    PLAUSIBLE_TIMES,
    TimeFormat,
    detect_time_format,
    given_time_format,
    parse_times,
)
from tierrec_core.sources.times.date_orders import date_formats, given_order_format
from tierrec_core.sources.times.time_zones import known_zone


def read_times(
    parts: Mapping[Path, pd.DataFrame], source: FilesSource, fresh: Sequence[Path]
) -> Iterator[pd.DataFrame]:
    """The events of each file with times in UTC; columns of one type have one format in all files, if that parses them.

    Whether days or months come first is decided file by file.
    fresh: deliveries, whose dates have to keep the order of the others
    Raises DataError for mixed times, unknown zones, and where most cells are no times.
    """
    formats = _time_formats({path: part["timestamp"] for path, part in parts.items()}, source, fresh)
    for path, part in parts.items():
        part = part.assign(timestamp=_times(part["timestamp"], formats[path], source, path, part.get("timezone")))
        if source.daily_sessions and "session_id" in part:
            day = local_days(part, source.timezone).dt.strftime("%Y-%m-%d ").astype("string")
            part["session_id"] = part["user_id"] + " " + day + part["session_id"]
        yield part


def _time_formats(
    columns: Mapping[Path, pd.Series], source: FilesSource, fresh: Sequence[Path]
) -> dict[Path, TimeFormat]:
    patterns = {path: pattern for path in columns if (pattern := time_pattern(path, source))}
    given = {
        path: given_order_format(path, columns[path], pattern, is_fresh=path in fresh)
        if pattern == source.time_format
        else given_time_format(pattern)
        for path, pattern in patterns.items()
    }
    found = dict[Path, TimeFormat]()
    open_columns = {path: column for path, column in columns.items() if path not in given}
    for dtype in {column.dtype for column in open_columns.values()}:
        same = {path: column for path, column in open_columns.items() if column.dtype == dtype}
        common = detect_time_format(pd.concat(same.values(), ignore_index=True), source.timestamp_unit)
        own = date_formats(same, common) if common.unit is None else {}
        found |= dict.fromkeys(same, common) | {path: dates.time_format for path, dates in own.items()}
    return found | given


def _times(
    values: pd.Series, time_format: TimeFormat, source: FilesSource, path: Path, zones: pd.Series | None
) -> pd.Series:
    """Times in UTC; NaT, which the data gate rejects, where few cells cannot be parsed. zones: of each time"""
    _reject_unknown(zones, path, source)
    column = " or ".join(source.columns.names("timestamp"))
    if time_format.unit is None and not pd.api.types.is_datetime64_any_dtype(values):
        _reject_mixed(values.astype("string").dropna(), path, column)
    times = parse_times(values, time_format, source.timezone, zones)
    if time_pattern(path, source) is None and mostly(values.notna() & ~times.between(*PLAUSIBLE_TIMES), values):
        time_format, times = _own_times(values, time_format, times, source, zones)
    settings = {"source.timestamp_unit": time_format.unit, "source.time_format": time_pattern(path, source)}
    remedy = ", ".join(["correct it or source.columns.timestamp", *(key for key, value in settings.items() if value)])
    wanted = f"is not a time (most rows: {time_format.name}); {remedy}"
    reject_most(values, values.notna() & times.isna(), path, column, wanted)
    return times


def _own_times(
    values: pd.Series, time_format: TimeFormat, times: pd.Series, source: FilesSource, zones: pd.Series | None
) -> tuple[TimeFormat, pd.Series]:
    """The format that more rows of a file fit than that of all files, and its times; a given unit yields to another."""
    own_format = detect_time_format(values)
    own = parse_times(values, own_format, source.timezone, zones)
    is_open = (
        source.timestamp_unit == "auto" or own_format.unit is not None or bool(times.isna().sum() > len(times) / 2)
    )
    is_better = own.between(*PLAUSIBLE_TIMES).sum() > times.between(*PLAUSIBLE_TIMES).sum()
    return (own_format, own) if is_open and is_better else (time_format, times)


def _reject_unknown(zones: pd.Series | None, path: Path, source: FilesSource) -> None:
    names: list[str] = [] if zones is None else zones.dropna().astype("string").unique().tolist()
    if unknown := next((name for name in names if known_zone(name) is None), None):
        column = " or ".join(source.columns.names("timezone"))
        raise DataError(
            f"{path}: column {column!r}: {unknown!r} is no known time zone; wanted one such as Europe/Berlin, CET or "
            "+01:00; correct it or source.columns.timezone"
        )


def _reject_mixed(texts: pd.Series, path: Path, column: str) -> None:
    offset = texts.str.contains(OFFSET, regex=True)
    if offset.any() and not offset.all():
        raise DataError(
            f"{path}: column {column!r} mixes times with an offset ({texts[offset].iloc[0]!r}) and without "
            f"({texts[~offset].iloc[0]!r})\nwrite all in one format; source.timezone is for a column without offsets"
        )
