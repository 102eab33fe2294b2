"""Adds the export of the service's feedback store to the log of any source."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import EVENTS, ITEMS, USERS, Contract
from tierrec_core.base.errors import MissingColumnError, UnreadableFileError
from tierrec_core.base.ids import text_ids
from tierrec_core.sources.frames import SourceFrames, name_guests

_IDS = ("user_id", "item_id")


def append_feedback(log: SourceFrames, folder: Path, guests: Collection[str] = ()) -> SourceFrames:
    """The log with the folder's events.parquet, items.parquet and users.parquet, where they exist.

    guests: ids of users who are guests
    A posted attribute replaces the log's, converted to the column's type. Raises UnreadableFileError, or
    MissingColumnError when a file lacks a required column.
    """
    events, items, users = log.events, log.items, log.users
    if (path := folder / "events.parquet").is_file():
        posted = EVENTS.conform(_table(path, EVENTS), str(path))
        posted["user_id"] = name_guests(posted["user_id"], guests)
        events = pd.concat([events, posted], ignore_index=True)
    if (path := folder / "items.parquet").is_file():
        items = _overlay(items, _table(path, ITEMS), "item_id")
        items["category"] = items["category"].fillna("unknown")
    if (path := folder / "users.parquet").is_file():
        users = _overlay(users, _table(path, USERS), "user_id")
    return SourceFrames.of(events, items, users, log.exposures, where=str(folder))


def _table(path: Path, contract: Contract) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error}); export the store again") from error
    frame = frame.assign(**{name: text_ids(frame[name]) for name in _IDS if name in frame})
    missing = [name for name in contract.required if name not in frame]
    if missing:
        raise MissingColumnError(
            f"{path}: column {missing[0]!r} is missing; found {', '.join(map(str, frame.columns))}; "
            "export the store again"
        )
    return frame


def _overlay(known: pd.DataFrame, posted: pd.DataFrame, key: str) -> pd.DataFrame:
    """The known rows, with the filled cells of posted rows of the same key, followed by the new rows."""
    columns = {name: _cast(posted[name], known[name].dtype) if name in known else posted[name] for name in posted}
    rows = pd.DataFrame(columns)
    updated = known[key].isin(rows[key])
    merged = pd.concat([rows, known[updated]]).groupby(key, sort=False, as_index=False).first()
    return pd.concat([known[~updated], merged], ignore_index=True)


def _cast(values: pd.Series, dtype: Any) -> pd.Series:
    """Convert values to the kind of a column's type; values that cannot be converted become empty."""
    kinds = pd.api.types
    if kinds.is_bool_dtype(dtype):
        return values.where(values.isin([True, False])).astype("boolean")
    if kinds.is_numeric_dtype(dtype):
        numbers = pd.to_numeric(values.astype("string"), errors="coerce").astype("Float64")
        return numbers.where(np.isfinite(numbers.to_numpy("float64", na_value=np.nan)))
    if kinds.is_datetime64_any_dtype(dtype):
        times = pd.to_datetime(values.astype("string"), errors="coerce", utc=True, format="ISO8601")
        return times if isinstance(dtype, pd.DatetimeTZDtype) else times.dt.tz_localize(None)
    if kinds.is_numeric_dtype(values.dtype) and not kinds.is_bool_dtype(values.dtype):
        return values.map(lambda number: f"{number:.15g}", na_action="ignore").astype("string")
    return values if kinds.is_object_dtype(dtype) else values.astype("string")
