"""Exports the store's rows, page by page, as JSON lines or Parquet with the field names of the API."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError
from sqlalchemy import JSON, BigInteger, Column, Float, Table, Text, func, select

from services.schemas import ItemIn
from services.store import Store
from services.store.export import TABLES, Kind, read_rows
from services.store.schema import EVENTS, IMPRESSIONS, UtcTimestamp

Format: TypeAlias = Literal["jsonl", "parquet"]
Row: TypeAlias = dict[str, Any]

PAGE_ROWS = 5_000
GROUP_ROWS = 20_000  # of Parquet
_ITEM_FIELDS = frozenset(ItemIn.model_fields) - {"item_id", "attributes"}

_CURSOR = {"_cursor": pa.int64()}
_TEXT, _NUMBER, _TIME = pa.string(), pa.float64(), pa.timestamp("us", "UTC")
_TYPES = {Text: _TEXT, Float: _NUMBER, UtcTimestamp: _TIME, BigInteger: pa.int64(), JSON: pa.list_(_TEXT)}
_ITEM = (
    dict.fromkeys(("item_id", "title", "category", "brand"), _TEXT)
    | dict.fromkeys(("price", "stock"), _NUMBER)
    | dict.fromkeys(("available_from", "available_until"), _TIME)
    | {"on_promotion": pa.bool_()}
)


@dataclass(frozen=True)
class ExportRange:
    """The rows of a kind with a cursor above `after` and at most `last`; later rows are left to the next export."""

    kind: Kind
    after: int
    last: int

    @classmethod
    def find(cls, store: Store, kind: Kind, after: int = 0, limit: int | None = None) -> "ExportRange":
        """All rows after a cursor, or the first `limit` of them. Raises StoreError."""
        key = TABLES[kind].c[0]
        rows = select(key.label("cursor")).where(key > after)
        if limit is not None:
            rows = rows.order_by(key).limit(limit)
        with store.database.reading() as connection:
            last = connection.scalar(select(func.max(rows.subquery().c.cursor)))
        return cls(kind, after, after if last is None else int(last))


def exported_columns(table: Table) -> dict[str, Column[Any]]:
    """The exported columns of a table by their exported names; the cursor is first."""
    key, *others = table.c
    return {"_cursor": key} | {str(column.name): column for column in others if column.name != "received_at"}


def export_pages(store: Store, rows: ExportRange, size: int = PAGE_ROWS) -> Iterator[list[Row]]:
    """The rows of a range as read_rows yields them, without null fields; attributes are null if they are deleted."""
    columns = exported_columns(TABLES[rows.kind])
    to_rows: Mapping[Kind, Callable[[Row], Row]] = {"items": _item, "users": dict}
    to_row = to_rows.get(rows.kind, without_nulls)
    for page in read_rows(store, list(columns.values()), after=rows.after, size=size, last=rows.last):
        yield [to_row(dict(zip(columns, row, strict=True))) for row in page]


def without_nulls(row: Mapping[str, Any]) -> Row:
    """The row without fields that are None."""
    return {name: value for name, value in row.items() if value is not None}


def json_lines(rows: Iterable[Row]) -> bytes:
    """One JSON object per line."""
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _item(row: Row) -> Row:
    """An item with the API's fields beside its other attributes; as stored if a value is not valid for its field."""
    attributes = row["attributes"]
    if not attributes:
        return row
    fields = {name: attributes[name] for name in _ITEM_FIELDS & attributes.keys() if attributes[name] is not None}
    others = {name: value for name, value in attributes.items() if name not in fields}
    try:
        item = ItemIn.model_validate_json(orjson.dumps({"item_id": row["item_id"], **fields}), strict=True)
    except ValidationError:
        return row
    return {"_cursor": row["_cursor"], **item.model_dump(exclude_unset=True), "attributes": others}


def _column_types(table: Table) -> dict[str, Any]:
    return {name: _TYPES[type(column.type)] for name, column in exported_columns(table).items() if name != "_cursor"}


SCHEMAS: Mapping[Kind, Any] = {
    "events": pa.schema(_CURSOR | _column_types(EVENTS)),
    "items": pa.schema(_CURSOR | _ITEM | {"attributes": _TEXT}),
    "users": pa.schema(_CURSOR | {"user_id": _TEXT, "attributes": _TEXT}),
    "impressions": pa.schema(_CURSOR | _column_types(IMPRESSIONS)),
}


def arrow_table(kind: Kind, rows: Iterable[Row]) -> Any:
    """The rows as an Arrow table of the kind's schema; attributes become JSON text."""
    flat = [
        row | {"attributes": orjson.dumps(row["attributes"]).decode()} if "attributes" in row else row for row in rows
    ]
    return pa.Table.from_pylist(flat, schema=SCHEMAS[kind])


def stream_parquet(kind: Kind, groups: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """The bytes of one file (zstd), a row group per group of rows; one group is in memory at a time."""
    buffer = _ForwardBuffer()
    with pq.ParquetWriter(buffer, SCHEMAS[kind], compression="zstd") as writer:
        for rows in groups:
            writer.write_table(arrow_table(kind, rows))
            yield buffer.take()
    yield buffer.take()


class _ForwardBuffer(io.RawIOBase):
    """An append-only file whose written bytes can be taken out while more are written."""

    def __init__(self) -> None:
        self._data, self._position = bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._data += data
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        """Remove and return what was written since the last call."""
        data, self._data = bytes(self._data), bytearray()
        return data
