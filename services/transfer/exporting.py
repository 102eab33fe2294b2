"""The store's rows as lines with the API's own names, page by page."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson
from pydantic import ValidationError
from sqlalchemy import Column, Table, func, select

from services.schemas import ItemIn
from services.store import Store
from services.store.schema import EVENTS, IMPRESSIONS, ITEMS, USERS
from services.transfer.records import Kind

Format: TypeAlias = Literal["jsonl", "parquet"]
Line: TypeAlias = dict[str, Any]

PAGE_ROWS = 5_000
GROUP_ROWS = 20_000
_TABLES = {"events": EVENTS, "items": ITEMS, "users": USERS, "impressions": IMPRESSIONS}
_HIDDEN = {"received_at"}
_ITEM_FIELDS = frozenset(ItemIn.model_fields) - {"item_id", "attributes"}


@dataclass(frozen=True)
class ExportRange:
    """The rows of a kind whose cursor is above `after` and at most `last`; what comes meanwhile is not among them."""

    kind: Kind
    after: int
    last: int

    @classmethod
    def find(cls, store: Store, kind: Kind, after: int = 0, limit: int | None = None) -> "ExportRange":
        """All rows behind a cursor that are there now, or the first `limit` of them. Raises StoreError."""
        key = _key(_TABLES[kind])
        rows = select(key.label("cursor")).where(key > after)
        if limit is not None:
            rows = rows.order_by(key).limit(limit)
        with store.database.reading() as connection:
            last = connection.scalar(select(func.max(rows.subquery().c.cursor)))
        return cls(kind, after, after if last is None else int(last))


def columns_of(table: Table) -> dict[str, Column[Any]]:
    """What a line tells of a table's row, by its name in the line; the cursor is first."""
    key = _key(table)
    shown = [column for column in table.c if column.name not in _HIDDEN]
    return {"_cursor" if column is key else str(column.name): column for column in shown}


def export_pages(store: Store, span: ExportRange, size: int = PAGE_ROWS) -> Iterator[list[Line]]:
    """The span's rows as lines, oldest first, at most `size` a page. Nothing is held open between pages.

    A line leaves out what is not known. Raises StoreError.
    """
    columns = columns_of(_TABLES[span.kind])
    key, after = columns["_cursor"], span.after
    query = select(*columns.values()).where(key <= span.last).order_by(key).limit(size)
    while after < span.last:
        with store.database.reading() as connection:
            found = connection.execute(query.where(key > after))
            rows = [dict(zip(columns, row, strict=True)) for row in found]
        if not rows:
            return
        after = rows[-1]["_cursor"]
        yield [_item(row) if span.kind == "items" else _known(row) for row in rows]


def jsonl(lines: Iterable[Line]) -> bytes:
    """One JSON object a line."""
    return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)


def _key(table: Table) -> Column[Any]:
    return next(iter(table.primary_key))


def _known(row: Line) -> Line:
    return {name: value for name, value in row.items() if value is not None}


def _item(row: Line) -> Line:
    """An item with our own fields beside its attributes, where they are what these fields take."""
    attributes = row["attributes"]
    own = {name: attributes[name] for name in _ITEM_FIELDS & attributes.keys() if attributes[name] is not None}
    rest = {name: value for name, value in attributes.items() if name not in own}
    try:
        item = ItemIn.model_validate_json(orjson.dumps({"item_id": row["item_id"], **own}), strict=True)
    except ValidationError:
        return row
    return {"_cursor": row["_cursor"], **item.model_dump(exclude_unset=True), "attributes": rest}
