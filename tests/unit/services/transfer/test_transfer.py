"""Round trips of exports between two stores; lines against a plain split of the bytes."""

from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.schemas import EventIn, ItemIn, UserIn
from services.store import Impression, Store
from services.store.schema import EVENTS, IMPRESSIONS
from services.transfer.exporting import ExportRange, export_pages, exported_columns, json_lines, stream_parquet
from services.transfer.files import export_file
from services.transfer.importing import MAX_LINE_BYTES, ImportSession, LineSplitter, batch_writer
from services.transfer.records import EventRow, Imported, ItemRow, UserRow
from tests.support.transfer_records import NOW, RECORDS, add_events, emptied, event, kept, two_stores
from tierrec_client import ImpressionRow

MODELS = {"events": EventIn, "items": ItemIn, "users": UserIn}
ROWS = {"events": EventRow, "items": ItemRow, "users": UserRow}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    with two_stores(tmp_path_factory.mktemp("stores")) as opened:
        yield opened


def exported(store: Store, kind: str, after: int = 0, limit: int | None = None, size: int = 3) -> list[dict]:
    return [line for page in export_pages(store, ExportRange.find(store, kind, after, limit), size) for line in page]


def numbered(data: bytes) -> list[tuple[int, bytes | None]]:
    splitter = LineSplitter()
    return splitter.feed(data) + splitter.end()


@pytest.mark.parametrize("kind", list(MODELS))
def test_each_line_is_a_valid_row_and_survives_a_round_trip(stores, kind: str) -> None:
    one, other = stores

    @settings(max_examples=10)
    @given(st.lists(RECORDS[kind], min_size=1, max_size=20))
    def holds(records: list[Any]) -> None:
        emptied(one, other)
        batch_writer(one, kind)(records)
        data = json_lines(exported(one, kind))
        rows = [ROWS[kind].model_validate_json(line) for line in data.splitlines(keepends=True) if line]
        assert all(isinstance(row, MODELS[kind]) for row in rows)
        assert [row.cursor for row in rows] == sorted({row.cursor for row in rows})
        batch_writer(other, kind)(rows)
        assert kept(other, kind) == kept(one, kind)

    holds()


@given(st.lists(st.binary(max_size=12), max_size=12), st.lists(st.integers(1, 7), min_size=1, max_size=9))
def test_lines_are_those_of_a_plain_split_for_any_chunks(parts: list[bytes], sizes: list[int]) -> None:
    data = b"\n".join(parts)
    splitter, found, place, turn = LineSplitter(), [], 0, 0
    while place < len(data):
        size = sizes[turn % len(sizes)]
        found += splitter.feed(data[place : place + size])
        place, turn = place + size, turn + 1
    found += splitter.end()
    assert found == [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]


def test_a_line_without_end_is_reported_without_buffering_it() -> None:
    splitter = LineSplitter()
    piece = b"x" * (MAX_LINE_BYTES // 4)
    assert [splitter.feed(piece) for _ in range(50)] == [[]] * 50
    assert splitter.feed(b"yz\n{}\nlast") == [(1, None), (2, b"{}")]
    assert splitter.end() == [(3, b"last")]


def test_pages_and_limits_are_slices_of_one_sequence(stores) -> None:
    store, _ = stores
    add_events(store, 40)
    whole = exported(store, "events")

    @given(st.integers(0, 40), st.none() | st.integers(1, 50), st.integers(1, 50))
    def holds(place: int, limit: int | None, size: int) -> None:
        after = whole[place - 1]["_cursor"] if place else 0
        found = exported(store, "events", after, limit, size)
        assert found == whole[place:][:limit]
        assert ExportRange.find(store, "events", after, limit).last == (found[-1]["_cursor"] if found else after)

    assert [line["key"] for line in whole] == [f"k{number}" for number in range(40)]
    holds()


def test_rows_added_during_an_export_are_left_to_the_next(stores) -> None:
    store, _ = stores
    add_events(store, 4)
    span = ExportRange.find(store, "events")
    reading = export_pages(store, span, 2)
    first = next(reading)
    batch_writer(store, "events")([event(99)])
    assert [line["key"] for line in [*first, *(line for page in reading for line in page)]] == ["k0", "k1", "k2", "k3"]
    assert [line["key"] for line in exported(store, "events", span.last)] == ["k99"]


def test_streamed_parquet_is_readable_by_pandas(stores) -> None:
    store, _ = stores
    add_events(store, 250)
    pieces = list(stream_parquet("events", export_pages(store, ExportRange.find(store, "events"), 100)))
    file = BytesIO(b"".join(pieces))
    assert pq.ParquetFile(file).metadata.num_row_groups == 3
    assert len(pieces) == 4
    frame = pd.read_parquet(file)
    assert frame["key"].tolist() == [f"k{number}" for number in range(250)]
    assert frame["timestamp"].tolist() == [NOW + timedelta(seconds=number) for number in range(250)]
    assert str(frame["timestamp"].dtype) == "datetime64[us, UTC]"
    assert frame["value"].isna().all()


def test_rows_have_all_exported_columns() -> None:
    for row, table in ((EventRow, EVENTS), (ImpressionRow, IMPRESSIONS)):
        fields = [field.alias or name for name, field in row.model_fields.items()]
        assert sorted(fields) == sorted(exported_columns(table))


def test_impressions_are_exported_as_stored(stores, tmp_path: Path) -> None:
    store, _ = stores
    shown = {"surface": "products", "items": ("a", "ü"), "path": "blend", "model_version": "m", "at": NOW}
    full = Impression(request_id="r1", user_id="u", variant="v", experiment="e", propensity=0.25, **shown)
    store.add_impressions([full, Impression(request_id="r2", user_id=None, **shown)])
    rows = [ImpressionRow.model_validate_json(line) for line in json_lines(exported(store, "impressions")).splitlines()]
    assert [row.model_dump() for row in rows] == [
        vars(full),
        vars(full) | {"request_id": "r2", "user_id": None, "variant": None, "experiment": None, "propensity": 1.0},
    ]
    export_file(store, "impressions", tmp_path / "out.parquet", on_progress=lambda *_: None)
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert [list(items) for items in frame["items"]] == [["a", "ü"]] * 2


LINES = {
    "good": '{"key": "%d", "user_id": "u", "item_id": "i", "event": "view"}',
    "repeated": '{"key": "same", "user_id": "u", "item_id": "i", "event": "view"}',
    "unfit": '{"key": "%d", "user_id": "u", "item_id": "i", "event": "secret"}',
    "unknown field": '{"key": "%d", "user_id": "u", "item_id": "i", "event": "view", "x": 1}',
    "broken": '{"key": %d',
    "for no database": '{"key": "%d", "user_id": "secret\\u0000", "item_id": "i", "event": "view"}',
}
BAD = {"unfit", "unknown field", "broken", "for no database"}


@pytest.mark.parametrize("is_strict", [False, True])
def test_invalid_lines_are_reported_among_valid_ones(stores, is_strict: bool) -> None:
    store, _ = stores

    @settings(max_examples=25)
    @given(st.lists(st.sampled_from(list(LINES)), max_size=30))
    def holds(names: list[str]) -> None:
        emptied(store)
        data = "\n".join(LINES[name].replace("%d", str(number)) for number, name in enumerate(names)).encode()
        session = ImportSession("events", batch_writer(store, "events"), strict=is_strict)
        session.add_lines(numbered(data))
        bad = [number for number, name in enumerate(names, 1) if name in BAD]
        tried = names[: bad[0] - 1] if bad and is_strict else names
        refused = bad[:1] if is_strict else bad
        fresh = tried.count("good") + ("repeated" in tried)
        assert len(kept(store, "events")) == fresh
        assert [one.line for one in session.result.first_errors] == refused[:10]
        assert session.result.model_copy(update={"first_errors": [], "stopped": None}) == Imported(
            accepted=fresh, duplicates=max(tried.count("repeated") - 1, 0), rejected=len(refused), lines=len(tried)
        )
        assert (session.result.stopped is not None) == bool(bad and is_strict)
        assert "secret" not in session.result.model_dump_json()

    holds()


def test_a_line_whose_key_has_another_event_is_reported(stores) -> None:
    store, _ = stores
    add_events(store, 4)
    events = [event(0), event(1, item_id="other"), event(2, item_id="other"), event(7)]
    session = ImportSession("events", batch_writer(store, "events"))
    session.add_lines([(line, row.model_dump(mode="json")) for line, row in zip((2, 3, 5, 8), events, strict=True)])
    counts = (session.result.accepted, session.result.duplicates, session.result.rejected)
    assert (counts, [error.line for error in session.result.first_errors]) == ((1, 1, 2), [3, 5])


def test_a_strict_import_resumes_after_the_fixed_line(stores) -> None:
    store, _ = stores
    emptied(store)
    lines = [LINES["good"] % number for number in range(2500)]
    lines[1700] = LINES["broken"] % 1700
    write = batch_writer(store, "events")
    session = ImportSession("events", write, strict=True)
    session.add_lines(numbered("\n".join(lines).encode()))
    assert (session.result.lines, len(kept(store, "events"))) == (1700, 1700)
    assert session.result.stopped == f"line 1701: {session.result.first_errors[0].error}"
    lines[1700] = LINES["good"] % 1700
    rest = ImportSession("events", write, strict=True, resume_from=Imported(lines=1700))
    rest.add_lines(numbered("\n".join(lines).encode()))
    assert rest.result == Imported(accepted=800, lines=2500)
    assert len(kept(store, "events")) == 2500


def test_null_attributes_delete_only_where_nothing_else_is_given(stores) -> None:
    store, _ = stores
    emptied(store)
    posted = [ItemIn(item_id=name, title="T", attributes={"size": 1.0}) for name in "abcd"]
    batch_writer(store, "items")(posted)
    batch_writer(store, "users")([UserIn(user_id="u", attributes={"x": True})])
    lines = [
        b'{"item_id": "a", "attributes": null, "price": 2}',
        b'{"item_id": "b", "attributes": null, "title": null}',
        b'{"item_id": "c", "attributes": null, "_cursor": 7}',
        b'{"item_id": "d", "attributes": null}',
    ]
    session = ImportSession("items", batch_writer(store, "items"))
    session.add_lines(list(enumerate(lines, 1)))
    assert session.result == Imported(accepted=4, deleted=2, lines=4)
    assert {one.item_id: one.attributes for one in store.items_after(0, 9)} == {
        "a": {"title": "T", "size": 1.0, "price": 2.0},
        "b": {"title": None, "size": 1.0},
        "c": None,
        "d": None,
    }
    session = ImportSession("users", batch_writer(store, "users"))
    session.add_lines([(1, b'{"user_id": "u", "attributes": null}')])
    assert session.result == Imported(accepted=1, deleted=1, lines=1)
    assert [one.attributes for one in store.users_after(0, 9)] == [None]


def test_attributes_are_merged_as_by_a_post(stores) -> None:
    store, _ = stores
    emptied(store)
    write = batch_writer(store, "items")
    write([ItemIn(item_id="a", title="A", attributes={"size": 1.0}), ItemIn(item_id="a", price=2.0)])
    write([ItemIn(item_id="a", title=None, attributes={"colour": "red"}), ItemIn(item_id="b")])
    batch_writer(store, "users")([UserIn(user_id="u", attributes={"x": True})])
    batch_writer(store, "users")([UserIn(user_id="u", attributes={"y": None})])
    assert {one.item_id: one.attributes for one in store.items_after(0, 9)} == {
        "a": {"title": None, "size": 1.0, "price": 2.0, "colour": "red"},
        "b": {},
    }
    assert [one.attributes for one in store.users_after(0, 9)] == [{"x": True, "y": None}]
