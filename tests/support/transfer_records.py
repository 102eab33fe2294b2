"""Records of the API and two stores between which they travel, for tests of import and export."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import select

from services.schemas import EventIn, ItemIn, UserIn
from services.store import Store
from services.store.schema import EVENTS, ITEMS, USERS
from services.transfer.importing import batch_writer

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
TABLES = {"events": EVENTS, "items": ITEMS, "users": USERS}

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
past = st.datetimes(datetime(1980, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))
moments = past | st.datetimes(datetime(2026, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
numbers = st.floats(0, 1e9, allow_nan=False)
anything = st.one_of(texts, numbers, st.booleans(), st.none(), st.just(-1.0))
attributes = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("size", "ü b", "'x'"), anything)
    | {"title": st.none() | texts, "price": st.none() | numbers | st.just(-1.0)},
)


def models(kind: type, **known: Any) -> st.SearchStrategy:
    """Models of which some fields are given and others are left out, which for an item is not the same as none."""
    needed = {name: known.pop(name) for name in list(known) if kind.model_fields[name].is_required()}
    return st.fixed_dictionaries(needed, optional=known).map(kind.model_validate)


RECORDS = {
    "events": models(
        EventIn,
        key=texts,
        user_id=texts,
        item_id=texts,
        event=st.sampled_from(["view", "purchase", "rating"]),
        timestamp=past,
        value=st.none() | numbers,
        quantity=st.none() | st.floats(-1e6, 1e6),
        session_id=st.none() | texts,
        channel=st.none() | texts,
        request_id=st.none() | texts,
    ),
    "items": models(
        ItemIn,
        item_id=texts,
        title=st.none() | texts,
        category=st.none() | texts,
        brand=st.none() | texts,
        price=st.none() | numbers,
        stock=st.none() | numbers,
        available_from=st.none() | moments,
        available_until=st.none() | moments,
        on_promotion=st.none() | st.booleans(),
        attributes=attributes,
    ),
    "users": models(UserIn, user_id=texts, attributes=attributes),
}


@contextlib.contextmanager
def two_stores(folder: Path) -> Iterator[tuple[Store, Store]]:
    """Two stores, which a test empties before it uses them again."""
    one, other = (Store.open(f"sqlite:///{folder / name}.db") for name in ("one", "other"))
    with contextlib.closing(one), contextlib.closing(other):
        yield one, other


def emptied(*stores: Store) -> None:
    for store in stores:
        with store.database.writing() as connection:
            for table in TABLES.values():
                connection.execute(table.delete())


def kept(store: Store, kind: str) -> list[dict[str, Any]]:
    """All that the store has of a kind, but what it makes itself."""
    columns = [column for column in TABLES[kind].c if column.name not in ("id", "revision", "received_at")]
    with store.database.reading() as connection:
        return [row._asdict() for row in connection.execute(select(*columns).order_by(columns[0]))]


def add_events(store: Store, count: int) -> None:
    emptied(store)
    write = batch_writer(store, "events")
    for start in range(0, count, 1000):
        write([event(number) for number in range(start, min(start + 1000, count))])


def event(number: int, **changes: Any) -> EventIn:
    fields = {"key": f"k{number}", "user_id": f"u{number % 5}", "item_id": "i", "event": "view"}
    return EventIn.model_validate(fields | {"timestamp": NOW + timedelta(seconds=number)} | changes)
