"""The store's rows as data frames page by page, and the Parquet files that the ingest stage reads."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import BigInteger, Table, select, type_coerce

from services.store.schema import EVENTS, IMPRESSIONS, ITEMS, USERS, UtcTimestamp
from services.store.store import Store
from tierrec_core.base import artifacts, contracts

Kind: TypeAlias = Literal["events", "items", "users", "impressions"]

TABLES: Mapping[Kind, Table] = {"events": EVENTS, "items": ITEMS, "users": USERS, "impressions": IMPRESSIONS}
_PAGE_ROWS = 10_000
_GROUP_ROWS = 50_000


@dataclass(frozen=True)
class ExportPage:
    """Consecutive rows of a table; pages(..., after=cursor) continues after them."""

    frame: pd.DataFrame
    cursor: int


def read_rows(
    store: Store, columns: Sequence[Any], *, after: int, size: int, last: int | None = None, patient: bool = False
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows whose cursor, the first column, is above `after` and at most `last`, at most `size` per page.

    Oldest first; without `last`, rows added meanwhile are included. No transaction stays open between pages.
    patient: as for Database.reading. Raises StoreError.
    """
    cursor = columns[0]
    query = select(*columns).order_by(cursor).limit(size)
    if last is not None:
        query = query.where(cursor <= last)
    num_rows = size
    while num_rows == size:
        with store.database.reading(patient=patient) as connection:
            rows = [tuple(row) for row in connection.execute(query.where(cursor > after))]
        num_rows = len(rows)
        if rows:
            after = int(rows[-1][0])
            yield rows


def pages(store: Store, kind: Kind, *, after: int = 0, size: int = _PAGE_ROWS) -> Iterator[ExportPage]:
    """Yield the rows after a cursor as read_rows does.

    Columns are the table's, times in UTC; attributes of items and users become columns.
    """
    table = TABLES[kind]
    columns = [type_coerce(col, BigInteger) if isinstance(col.type, UtcTimestamp) else col for col in table.c]
    for rows in read_rows(store, columns, after=after, size=size, patient=True):
        yield ExportPage(_frame(table, rows), int(rows[-1][0]))


def export_for_ingest(store: Store, folder: Path) -> int:
    """Write events.parquet, items.parquet and users.parquet, each atomically; return the number of events.

    The same rows give the same bytes. Raises StoreError, or ArtifactError when the disk refuses.
    """
    num_events = _write_events(store, folder / "events.parquet")
    artifacts.write_frame(_read_attributes(store, "items", "item_id"), folder / "items.parquet")
    artifacts.write_frame(_read_attributes(store, "users", "user_id"), folder / "users.parquet")
    return num_events


def _frame(table: Table, rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Make a data frame of rows, [N]; the first column is the cursor."""
    frame = pd.DataFrame(rows, columns=[column.name for column in table.c])
    for column in table.c:
        if isinstance(column.type, UtcTimestamp):
            times = pd.Series(frame[column.name].to_numpy("datetime64[us]"), frame.index)
            frame[column.name] = times.dt.tz_localize("UTC")
    if "attributes" not in frame:
        return frame
    posted = frame.pop("attributes")
    frame = frame[[isinstance(values, dict) for values in posted]]  # the others are deleted
    attributes = pd.DataFrame(list(posted[frame.index]), index=frame.index)
    return frame.join(attributes.drop(columns=frame.columns, errors="ignore"))


def _write_events(store: Store, path: Path) -> int:
    """Write the events in order of id; one page is in memory at a time."""
    empty = contracts.EVENTS.conform(pd.DataFrame(columns=list(contracts.EVENTS.columns)), "store")
    schema = pa.Schema.from_pandas(empty, preserve_index=False)
    num_events = 0
    with artifacts.replacing_file(path) as fresh, pq.ParquetWriter(fresh, schema, compression="zstd") as out:
        for page in pages(store, "events", size=_GROUP_ROWS):
            events = contracts.EVENTS.conform(page.frame, "store")
            out.write_table(pa.Table.from_pandas(events, schema=schema, preserve_index=False))
            num_events += len(events)
    return num_events


def _read_attributes(store: Store, kind: Kind, key: str) -> pd.DataFrame:
    """Read posted items or users by id, each attribute in the type that all its values have."""
    frames = [page.frame for page in pages(store, kind, size=_GROUP_ROWS)]
    if not frames:
        return pd.DataFrame({key: pd.array([], dtype="string")})
    frame = pd.concat(frames).drop(columns="revision").sort_values(key, ignore_index=True)
    attributes = sorted(str(name) for name in frame if name != key and frame[name].notna().any())
    columns = {name: _typed(frame[name].astype(object)) for name in attributes}
    return pd.DataFrame({key: frame[key].astype("string")} | columns)


def _typed(values: pd.Series) -> pd.Series:
    """Convert a column to booleans, numbers or lists of numbers if all its values are, else to strings or JSON."""
    present = values.dropna()
    kinds = {type(value) for value in present}
    if kinds == {bool}:
        return values.astype("boolean")
    with contextlib.suppress(OverflowError):
        if kinds <= {int, float}:
            return values.astype("Float64")
        if kinds == {list} and all(type(part) in {int, float} for value in present for part in value):
            return values.map(lambda value: np.array(value, float), na_action="ignore")
    texts = [value if isinstance(value, str) else json.dumps(value, sort_keys=True) for value in present]
    return pd.Series(texts, present.index, "string").reindex(values.index)
