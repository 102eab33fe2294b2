"""Lines of an export as Parquet: a table for each kind, and a file that is sent while it is being made."""

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from sqlalchemy import JSON, BigInteger, Float, Table, Text

from services.store.schema import EVENTS, IMPRESSIONS, UtcTimestamp
from services.transfer.exporting import Line, columns_of
from services.transfer.records import Kind

_CURSOR = {"_cursor": pa.int64()}
_TEXT, _NUMBER, _MOMENT = pa.string(), pa.float64(), pa.timestamp("us", "UTC")
_TYPES = {Text: _TEXT, Float: _NUMBER, UtcTimestamp: _MOMENT, BigInteger: pa.int64(), JSON: pa.list_(_TEXT)}
_ITEM = {
    "item_id": _TEXT,
    "title": _TEXT,
    "category": _TEXT,
    "brand": _TEXT,
    "price": _NUMBER,
    "stock": _NUMBER,
    "available_from": _MOMENT,
    "available_until": _MOMENT,
    "on_promotion": pa.bool_(),
}


def _columns(table: Table) -> dict[str, Any]:
    return {name: _TYPES[type(column.type)] for name, column in columns_of(table).items() if name not in _CURSOR}


SCHEMAS: Mapping[Kind, Any] = {
    "events": pa.schema(_CURSOR | _columns(EVENTS)),
    "items": pa.schema(_CURSOR | _ITEM | {"attributes": _TEXT}),
    "users": pa.schema(_CURSOR | {"user_id": _TEXT, "attributes": _TEXT}),
    "impressions": pa.schema(_CURSOR | _columns(IMPRESSIONS)),
}


def table(kind: Kind, lines: Iterable[Line]) -> Any:
    """The lines as an Arrow table of the kind's schema; attributes are a text of JSON."""
    return pa.Table.from_pylist([_flat(line) for line in lines], schema=SCHEMAS[kind])


def parquet(kind: Kind, groups: Iterable[Iterable[Line]]) -> Iterator[bytes]:
    """The bytes of one file (zstd), a row group for each group of lines; one group is in memory at a time."""
    sink = io.BytesIO()
    with pq.ParquetWriter(_Forward(sink), SCHEMAS[kind], compression="zstd") as writer:
        for lines in groups:
            writer.write_table(table(kind, lines))
            yield _taken(sink)
    yield _taken(sink)


class _Forward(io.RawIOBase):
    """A file that is only ever appended to, so that what is written already may be taken away."""

    def __init__(self, sink: io.BytesIO) -> None:
        self._sink, self._place = sink, 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        written = self._sink.write(data)
        self._place += written
        return written

    def tell(self) -> int:
        return self._place


def _taken(sink: io.BytesIO) -> bytes:
    data = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return data


def _flat(line: Line) -> Line:
    return line | {"attributes": orjson.dumps(line["attributes"]).decode()} if "attributes" in line else line
