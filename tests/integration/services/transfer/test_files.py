"""Files exported from one store and imported into another, also after an interruption."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.store import Store
from services.transfer.exporting import SCHEMAS, stream_parquet
from services.transfer.files import export_file, import_file, progress_path
from services.transfer.importing import batch_writer
from services.transfer.records import Imported
from tests.support.transfer_records import RECORDS, add_events, emptied, event, kept, two_stores
from tierrec_core.base.errors import ArtifactError, DataError, SettingsError, UnreadableFileError

GOOD = '{"key": "%d", "user_id": "u", "item_id": "i", "event": "view"}'
UNFIT = GOOD.replace("view", "secret")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    with two_stores(tmp_path_factory.mktemp("stores")) as opened:
        yield opened


@pytest.mark.parametrize("kind", list(RECORDS))
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_an_export_imported_into_another_store_is_the_same(stores, tmp_path: Path, kind: str, form: str) -> None:
    one, other = stores
    path = tmp_path / f"out.{form}"

    @settings(max_examples=10)
    @given(st.lists(RECORDS[kind], min_size=10, max_size=20))
    def holds(records: list[Any]) -> None:
        emptied(one, other)
        batch_writer(one, kind)(records)
        done = export_file(one, kind, path, on_progress=lambda *_: None, part_rows=7)
        answer = import_file(other, kind, path, on_progress=lambda *_: None)
        progress_path(path).unlink()
        assert kept(other, kind) == kept(one, kind)
        assert (answer.accepted, answer.rejected) == (done.rows, 0)

    holds()


def test_an_empty_store_exports_an_empty_file(stores, tmp_path: Path) -> None:
    store, _ = stores
    emptied(store)
    for kind in SCHEMAS:
        assert "_cursor" in pd.read_parquet(BytesIO(b"".join(stream_parquet(kind, []))))
        export_file(store, kind, tmp_path / "out.parquet", on_progress=lambda *_: None)
        export_file(store, kind, tmp_path / "out.jsonl", on_progress=lambda *_: None)
        assert len(pd.read_parquet(tmp_path / "out.parquet")) == 0
        assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert {path.name for path in tmp_path.iterdir()} == {"out.parquet", "out.jsonl"}


def test_unknown_columns_of_a_table_are_imported_as_attributes(stores, tmp_path: Path) -> None:
    store, _ = stores
    emptied(store)
    frame = pd.DataFrame(
        {"item_id": ["a", "b"], "title": ["A", None], "price": [1, 2], "size": ["L", None], "vegan": [True, False]}
    )
    frame.to_parquet(tmp_path / "goods.parquet")
    assert import_file(store, "items", tmp_path / "goods.parquet", on_progress=lambda *_: None).accepted == 2
    assert {one.item_id: one.attributes for one in store.items_after(0, 9)} == {
        "a": {"title": "A", "price": 1.0, "size": "L", "vegan": True},
        "b": {"price": 2.0, "vegan": False},
    }


@pytest.mark.parametrize(("kind", "key"), [("items", "item_id"), ("users", "user_id")])
def test_null_attributes_in_a_row_with_other_columns_delete_nothing(
    stores, tmp_path: Path, kind: str, key: str
) -> None:
    store, _ = stores
    emptied(store)
    frame = pd.DataFrame({key: ["a", "b"], "size": ["L", None], "attributes": ["null", "null"]})
    frame.to_parquet(tmp_path / "rows.parquet")
    result = import_file(store, kind, tmp_path / "rows.parquet", on_progress=lambda *_: None)
    assert result == Imported(accepted=2, deleted=1, lines=2)
    rows = store.items_after(0, 9) if kind == "items" else store.users_after(0, 9)
    assert [row.attributes for row in rows] == [{"size": "L"}, None]


class StoppedError(Exception):
    """Interrupts a transfer."""


def stop_at(number: int):
    left = iter(range(number))

    def on_progress(done: int, total: int) -> None:
        assert 0 < done <= total
        if next(left, None) is None:
            raise StoppedError

    return on_progress


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_an_interrupted_export_resumes_to_the_same_file(stores, tmp_path: Path, form: str) -> None:
    store, _ = stores
    add_events(store, 500)
    path, whole = tmp_path / f"out.{form}", tmp_path / f"whole.{form}"
    export_file(store, "events", whole, on_progress=lambda *_: None, part_rows=100)
    with pytest.raises(StoppedError):
        export_file(store, "events", path, on_progress=stop_at(2), part_rows=100)
    assert not path.exists()
    calls: list[tuple[int, int]] = []
    batch_writer(store, "events")([event(9999)])
    done = export_file(store, "events", path, on_progress=lambda *two: calls.append(two), part_rows=100)
    assert (done.rows, len(calls)) == (500, 2)
    assert path.read_bytes() == whole.read_bytes()
    assert {one.name for one in tmp_path.iterdir()} == {path.name, whole.name}


def test_another_export_to_an_unfinished_file_is_an_error(stores, tmp_path: Path) -> None:
    one, other = stores
    add_events(one, 10)
    path = tmp_path / "out.jsonl"
    with pytest.raises(StoppedError):
        export_file(one, "events", path, on_progress=stop_at(0), part_rows=2)
    for store, kind, since in ((one, "items", 0), (other, "events", 0), (one, "events", 3)):
        with pytest.raises(SettingsError, match=r"out\.jsonl\.progress: another transfer is unfinished.*\n.*delete"):
            export_file(store, kind, path, since=since, on_progress=lambda *_: None)
    (tmp_path / "out.jsonl.parts" / "0").unlink()
    with pytest.raises(ArtifactError, match=r"parts/0: is missing; delete .*out\.jsonl\.progress"):
        export_file(one, "events", path, on_progress=lambda *_: None, part_rows=2)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_an_interrupted_import_resumes_after_the_stored_records(stores, tmp_path: Path, form: str) -> None:
    one, other = stores
    add_events(one, 3500)
    emptied(other)
    path = tmp_path / f"out.{form}"
    export_file(one, "events", path, on_progress=lambda *_: None)
    with pytest.raises(StoppedError):
        import_file(other, "events", path, on_progress=stop_at(1))
    assert len(kept(other, "events")) == 2000
    answer = import_file(other, "events", path, on_progress=lambda *_: None)
    assert answer == Imported(accepted=3500, lines=3500)
    assert kept(other, "events") == kept(one, "events")


def test_resuming_with_a_changed_file_or_another_store_is_an_error(stores, tmp_path: Path) -> None:
    one, other = stores
    path = tmp_path / "in.jsonl"
    path.write_text(GOOD % 1)
    import_file(one, "events", path, on_progress=lambda *_: None)
    with pytest.raises(SettingsError, match=r"in\.jsonl\.progress: another transfer .* store "):
        import_file(other, "events", path, on_progress=lambda *_: None)
    path.write_text(GOOD % 12)
    with pytest.raises(SettingsError, match=r"in\.jsonl\.progress: another transfer .* size "):
        import_file(one, "events", path, on_progress=lambda *_: None)


def test_unreadable_files_are_errors(stores, tmp_path: Path) -> None:
    store, _ = stores
    emptied(store)
    (tmp_path / "in.csv").touch()
    (tmp_path / "in.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "in.jsonl").write_text(UNFIT % 1)
    for name, error, message in (
        ("in.csv", SettingsError, r"in\.csv: ends in '\.csv'; wanted one of \.jsonl, \.ndjson, \.parquet"),
        ("no.jsonl", UnreadableFileError, r"no\.jsonl: cannot be read \(No such file"),
        ("in.parquet", UnreadableFileError, r"in\.parquet: is not a readable Parquet file"),
        ("in.jsonl", DataError, r"in\.jsonl: line 1: event: .*\nfix the line and import"),
    ):
        with pytest.raises(error, match=message):
            import_file(store, "events", tmp_path / name, strict=True, on_progress=lambda *_: None)
    assert not progress_path(tmp_path / "in.jsonl").exists()
    assert kept(store, "events") == []
