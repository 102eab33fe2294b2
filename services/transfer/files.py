"""Exports a store to files and imports files into a store; an interrupted transfer resumes."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from services.schemas import ItemIn, UserIn
from services.store import Store
from services.store.export import Kind
from services.transfer.exporting import (
    GROUP_ROWS,
    SCHEMAS,
    ExportRange,
    Format,
    Row,
    arrow_table,
    export_pages,
    json_lines,
    without_nulls,
)
from services.transfer.importing import BATCH_LINES, ImportSession, LineSplitter, NumberedLine, batch_writer
from services.transfer.records import Importable, Imported
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, DataError, SettingsError, UnreadableFileError
from tierrec_core.settings import Params, parse

_READ_BYTES = 1 << 18
_FIELDS = {"_cursor", *ItemIn.model_fields, *UserIn.model_fields} - {"attributes"}
_FORMATS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

OnProgress = Callable[[int, int], None]  # (done, total)
Batch = tuple[Sequence[NumberedLine], int, int]  # lines, amount of the file read so far, its total
P = TypeVar("P", bound=Params)


class ExportProgress(Params):
    """Progress of an export: of the rows after `since` up to `last`, those up to `cursor` are written."""

    kind: Kind
    store: str
    since: int
    last: int
    cursor: int
    parts: int = 0
    rows: int = 0


class ImportProgress(Params):
    """Progress of the import of a file, which size and modified (ns) identify. answer: the result so far"""

    kind: Importable
    store: str
    size: int
    modified: int
    answer: Imported = Imported()


def progress_path(path: Path) -> Path:
    """The file beside `path` with the progress of the transfer from or to it."""
    return path.with_name(path.name + ".progress")


def export_file(
    store: Store, kind: Kind, path: Path, *, since: int = 0, on_progress: OnProgress, part_rows: int = GROUP_ROWS
) -> ExportProgress:
    """Write the rows after a cursor to a JSONL or Parquet file, which appears when it is complete.

    Until then its parts lie in a folder beside it. Raises StoreError, ArtifactError when the disk is full or not
    writable, and SettingsError for another suffix, or while another export to the file is unfinished.
    """
    form, progress = _format(path), progress_path(path)
    parts = path.with_name(path.name + ".parts")
    last = ExportRange.find(store, kind, since).last
    fresh = ExportProgress(kind=kind, store=_store_url(store), since=since, last=last, cursor=since)
    state = _resumed(progress, fresh, ("kind", "store", "since"))
    artifacts.write_json(state.model_dump(), progress)
    for rows in export_pages(store, ExportRange(kind, state.cursor, state.last), part_rows):
        _write_part(parts / str(state.parts), form, kind, rows)
        changes = {"cursor": rows[-1]["_cursor"], "parts": state.parts + 1, "rows": state.rows + len(rows)}
        state = state.model_copy(update=changes)
        artifacts.write_json(state.model_dump(), progress)
        on_progress(state.cursor - since, state.last - since)
    _join([parts / str(number) for number in range(state.parts)], path, form, kind)
    progress.unlink()
    shutil.rmtree(parts, ignore_errors=True)
    return state


def import_file(
    store: Store, kind: Importable, path: Path, *, strict: bool = False, on_progress: OnProgress
) -> Imported:
    """Store the records of a JSONL or Parquet file in batches, and return the result.

    The progress file remains, so that of several files none is imported twice: remove it after the last one.
    Raises StoreError, UnreadableFileError, DataError for an invalid line if strict, and SettingsError for another
    suffix, or while another import of the file is unfinished.
    """
    form, progress = _format(path), progress_path(path)
    try:
        stat = path.stat()
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror}); name a readable file") from error
    fresh = ImportProgress(kind=kind, store=_store_url(store), size=stat.st_size, modified=stat.st_mtime_ns)
    state = _resumed(progress, fresh, ("kind", "store", "size", "modified"))
    session = ImportSession(kind, batch_writer(store, kind), strict=strict, resume_from=state.answer)
    batches = _parquet_batches(path, kind) if form == "parquet" else _json_batches(path, stat.st_size)
    for lines, done, total in batches:
        session.add_lines(lines)
        if session.result.stopped:
            progress.unlink(missing_ok=True)
            raise DataError(f"{path}: {session.result.stopped}\nfix the line and import the file again")
        artifacts.write_json(state.model_copy(update={"answer": session.result}).model_dump(), progress)
        on_progress(done, total)
    return session.result


def _format(path: Path) -> Format:
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise SettingsError(f"{path}: ends in {path.suffix!r}; wanted one of {', '.join(_FORMATS)}")
    return _FORMATS[suffix]


def _store_url(store: Store) -> str:
    return store.database.engine.url.render_as_string(hide_password=True)


def _resumed(progress: Path, fresh: P, keys: Sequence[str]) -> P:
    """The progress of an interrupted transfer, which must have the same keys, else `fresh`."""
    if not progress.exists():
        return fresh
    state = parse(type(fresh), artifacts.read_json(progress), str(progress))
    for key in keys:
        before, requested = getattr(state, key), getattr(fresh, key)
        if before != requested:
            raise SettingsError(
                f"{progress}: another transfer is unfinished, with {key} {before!r}, wanted {requested!r}\n"
                "finish that one, or delete the file to start over"
            )
    return state


def _write_part(path: Path, form: Format, kind: Kind, rows: list[Row]) -> None:
    with artifacts.replacing_file(path) as fresh:
        if form == "parquet":
            pq.write_table(arrow_table(kind, rows), fresh, compression="zstd")
        else:
            fresh.write_bytes(json_lines(rows))


def _join(parts: Sequence[Path], path: Path, form: Format, kind: Kind) -> None:
    """Write the parts into one file; one part is in memory at a time."""
    missing = [part for part in parts if not part.exists()]
    if missing:
        raise ArtifactError(f"{missing[0]}: is missing; delete {progress_path(path)} to start over")
    with artifacts.replacing_file(path) as fresh:
        if form == "parquet":
            with pq.ParquetWriter(fresh, SCHEMAS[kind], compression="zstd") as writer:
                for part in parts:
                    writer.write_table(pq.read_table(part))
            return
        with fresh.open("wb") as out:
            for part in parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, out)


def _json_batches(path: Path, size: int) -> Iterator[Batch]:
    with path.open("rb") as file:
        lines = _split_lines(file)
        while batch := list(islice(lines, BATCH_LINES)):
            yield batch, file.tell(), size


def _split_lines(file: BinaryIO) -> Iterator[NumberedLine]:
    splitter = LineSplitter()
    while chunk := file.read(_READ_BYTES):
        yield from splitter.feed(chunk)
    yield from splitter.end()


def _parquet_batches(path: Path, kind: Importable) -> Iterator[Batch]:
    """Rows count as lines."""
    to_record = without_nulls if kind == "events" else _with_attributes
    try:
        with pq.ParquetFile(path) as file:
            total, num_read = file.metadata.num_rows, 0
            for batch in file.iter_batches(BATCH_LINES):
                rows = [to_record(row) for row in batch.to_pylist()]
                yield list(enumerate(rows, num_read + 1)), num_read + len(rows), total
                num_read += len(rows)
    except pa.ArrowException as error:
        raise UnreadableFileError(f"{path}: is not a readable Parquet file ({error}); write it again") from error


def _with_attributes(row: Row) -> Row:
    """An item or a user; columns that are no fields of either become attributes."""
    values = without_nulls(row)
    attributes = values.pop("attributes", {})
    if isinstance(attributes, str):
        with contextlib.suppress(ValueError):  # validation refuses a text that is not JSON
            attributes = orjson.loads(attributes)
    fields = {name: values.pop(name) for name in _FIELDS & values.keys()}
    if attributes is None and values:
        attributes = {}
    return fields | {"attributes": attributes | values if isinstance(attributes, dict) else attributes}
