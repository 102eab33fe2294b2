"""Exports that imports read again, against the stores on both ends; lines against a plain split of the bytes."""

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
from services.transfer.exporting import ExportRange, columns_of, export_pages, jsonl
from services.transfer.files import export_file
from services.transfer.importing import ImportSession
from services.transfer.keeping import StoreKeeper
from services.transfer.lines import MAX_LINE_BYTES, Splitter
from services.transfer.parquet import parquet
from services.transfer.records import EventRow, Imported, ImpressionRow, ItemRow, UserRow
from tests.support.transfer_records import NOW, RECORDS, add_events, emptied, event, kept, two_stores

MODELS = {"events": EventIn, "items": ItemIn, "users": UserIn}
ROWS = {"events": EventRow, "items": ItemRow, "users": UserRow}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    with two_stores(tmp_path_factory.mktemp("stores")) as opened:
        yield opened


def exported(store: Store, kind: str, after: int = 0, limit: int | None = None, size: int = 3) -> list[dict]:
    return [line for page in export_pages(store, ExportRange.find(store, kind, after, limit), size) for line in page]


def numbered(data: bytes) -> list[tuple[int, bytes | None]]:
    splitter = Splitter()
    return splitter.feed(data) + splitter.end()


@pytest.mark.parametrize("kind", list(MODELS))
def test_each_line_is_a_row_of_the_api_and_survives_its_model(stores, kind: str) -> None:
    one, other = stores

    @settings(max_examples=10)
    @given(st.lists(RECORDS[kind], min_size=1, max_size=20))
    def holds(records: list[Any]) -> None:
        emptied(one, other)
        StoreKeeper(one).keep(kind)(records)
        data = jsonl(exported(one, kind))
        rows = [ROWS[kind].model_validate_json(line) for line in data.splitlines(keepends=True) if line]
        assert all(isinstance(row, MODELS[kind]) for row in rows)
        assert [row.cursor for row in rows] == sorted({row.cursor for row in rows})
        StoreKeeper(other).keep(kind)(rows)
        assert kept(other, kind) == kept(one, kind)

    holds()


@given(st.lists(st.binary(max_size=12), max_size=12), st.lists(st.integers(1, 7), min_size=1, max_size=9))
def test_lines_are_those_of_a_plain_split_however_the_bytes_come(parts: list[bytes], sizes: list[int]) -> None:
    data = b"\n".join(parts)
    splitter, found, place, turn = Splitter(), [], 0, 0
    while place < len(data):
        size = sizes[turn % len(sizes)]
        found += splitter.feed(data[place : place + size])
        place, turn = place + size, turn + 1
    found += splitter.end()
    assert found == [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]


def test_a_line_without_end_fills_no_memory_and_is_told() -> None:
    splitter = Splitter()
    piece = b"x" * (MAX_LINE_BYTES // 4)
    assert [splitter.feed(piece) for _ in range(50)] == [[]] * 50
    assert splitter.feed(b"yz\n{}\nlast") == [(1, None), (2, b"{}")]
    assert splitter.end() == [(3, b"last")]


def test_pages_and_limits_cut_one_sequence(stores) -> None:
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


def test_what_comes_after_an_export_began_is_left_to_the_next(stores) -> None:
    store, _ = stores
    add_events(store, 4)
    span = ExportRange.find(store, "events")
    reading = export_pages(store, span, 2)
    first = next(reading)
    StoreKeeper(store).keep("events")([event(99)])
    assert [line["key"] for line in [*first, *(line for page in reading for line in page)]] == ["k0", "k1", "k2", "k3"]
    assert [line["key"] for line in exported(store, "events", span.last)] == ["k99"]


def test_streamed_parquet_is_a_file_that_others_read(stores) -> None:
    store, _ = stores
    add_events(store, 250)
    pieces = list(parquet("events", export_pages(store, ExportRange.find(store, "events"), 100)))
    file = BytesIO(b"".join(pieces))
    assert pq.ParquetFile(file).metadata.num_row_groups == 3
    assert len(pieces) == 4
    frame = pd.read_parquet(file)
    assert frame["key"].tolist() == [f"k{number}" for number in range(250)]
    assert frame["timestamp"].tolist() == [NOW + timedelta(seconds=number) for number in range(250)]
    assert str(frame["timestamp"].dtype) == "datetime64[us, UTC]"
    assert frame["value"].isna().all()


def test_rows_have_all_that_the_tables_have() -> None:
    for row, table in ((EventRow, EVENTS), (ImpressionRow, IMPRESSIONS)):
        fields = [field.alias or name for name, field in row.model_fields.items()]
        assert sorted(fields) == sorted(columns_of(table))


def test_impressions_are_exported_as_they_were_kept(stores, tmp_path: Path) -> None:
    store, _ = stores
    shown = {"surface": "products", "items": ("a", "ü"), "path": "blend", "model_version": "m", "at": NOW}
    full = Impression(request_id="r1", user_id="u", variant="v", experiment="e", propensity=0.25, **shown)
    store.add_impressions([full, Impression(request_id="r2", user_id=None, **shown)])
    rows = [ImpressionRow.model_validate_json(line) for line in jsonl(exported(store, "impressions")).splitlines()]
    assert [row.model_dump() for row in rows] == [
        vars(full),
        vars(full) | {"request_id": "r2", "user_id": None, "variant": None, "experiment": None, "propensity": 1.0},
    ]
    export_file(store, "impressions", tmp_path / "out.parquet", tell=lambda *_: None)
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
def test_bad_lines_are_found_among_good_ones(stores, is_strict: bool) -> None:
    store, _ = stores

    @settings(max_examples=25)
    @given(st.lists(st.sampled_from(list(LINES)), max_size=30))
    def holds(names: list[str]) -> None:
        emptied(store)
        data = "\n".join(LINES[name].replace("%d", str(number)) for number, name in enumerate(names)).encode()
        intake = ImportSession("events", StoreKeeper(store).keep("events"), strict=is_strict)
        intake.take(numbered(data))
        bad = [number for number, name in enumerate(names, 1) if name in BAD]
        tried = names[: bad[0] - 1] if bad and is_strict else names
        refused = bad[:1] if is_strict else bad
        fresh = tried.count("good") + ("repeated" in tried)
        assert len(kept(store, "events")) == fresh
        assert [one.line for one in intake.answer.first_errors] == refused[:10]
        assert intake.answer.model_copy(update={"first_errors": [], "stopped": None}) == Imported(
            accepted=fresh, duplicates=max(tried.count("repeated") - 1, 0), rejected=len(refused), lines=len(tried)
        )
        assert (intake.answer.stopped is not None) == bool(bad and is_strict)
        assert "secret" not in intake.answer.model_dump_json()

    holds()


def test_a_strict_import_goes_on_behind_a_mended_line(stores) -> None:
    store, _ = stores
    emptied(store)
    lines = [LINES["good"] % number for number in range(2500)]
    lines[1700] = LINES["broken"] % 1700
    keep = StoreKeeper(store).keep("events")
    intake = ImportSession("events", keep, strict=True)
    intake.take(numbered("\n".join(lines).encode()))
    assert (intake.answer.lines, len(kept(store, "events"))) == (1700, 1700)
    assert intake.answer.stopped == f"line 1701: {intake.answer.first_errors[0].error}"
    lines[1700] = LINES["good"] % 1700
    rest = ImportSession("events", keep, strict=True, so_far=Imported(lines=1700))
    rest.take(numbered("\n".join(lines).encode()))
    assert rest.answer == Imported(accepted=800, lines=2500)
    assert len(kept(store, "events")) == 2500


def test_facts_are_kept_over_those_from_before_as_by_a_post(stores) -> None:
    store, _ = stores
    emptied(store)
    keep = StoreKeeper(store).keep("items")
    keep([ItemIn(item_id="a", title="A", attributes={"size": 1.0}), ItemIn(item_id="a", price=2.0)])
    keep([ItemIn(item_id="a", title=None, attributes={"colour": "red"}), ItemIn(item_id="b")])
    StoreKeeper(store).keep("users")([UserIn(user_id="u", attributes={"x": True})])
    StoreKeeper(store).keep("users")([UserIn(user_id="u", attributes={"y": None})])
    assert {one.item_id: one.attributes for one in store.items_after(0, 9)} == {
        "a": {"title": None, "size": 1.0, "price": 2.0, "colour": "red"},
        "b": {},
    }
    assert [one.attributes for one in store.users_after(0, 9)] == [{"x": True, "y": None}]
