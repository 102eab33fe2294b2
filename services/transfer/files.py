"""Exports to a file and imports from one, straight from and to a store; killed, they go on where they were."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

import orjson
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from services.schemas import ItemIn, UserIn
from services.store import Store
from services.transfer.exporting import ExportRange, Format, Line, export_pages, jsonl
from services.transfer.importing import BATCH_LINES, ImportSession
from services.transfer.keeping import StoreKeeper
from services.transfer.lines import NumberedLine, Splitter
from services.transfer.parquet import SCHEMAS, table
from services.transfer.records import Importable, Imported, Kind
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, DataError, SettingsError, UnreadableFileError
from tierrec_core.settings import Params, parse

PART_ROWS = 20_000
_READ_BYTES = 1 << 18
_OWN = {"_cursor", *ItemIn.model_fields, *UserIn.model_fields} - {"attributes"}
_FORMATS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

Tell = Callable[[int, int], None]  # how much is done, of how much
Batch = tuple[Sequence[NumberedLine], int, int]  # lines, and how much of the file is read with them, of how much
P = TypeVar("P", bound=Params)


class Exported(Params):
    """How far an export is: rows behind `since` up to `last` are to be written, those up to `cursor` are."""

    kind: Kind
    store: str
    since: int
    last: int
    cursor: int
    parts: int = 0
    rows: int = 0


class ImportProgress(Params):
    """How far the import of a file is. size, modified (ns): a file in which they differ is another one."""

    kind: Importable
    store: str
    size: int
    modified: int
    answer: Imported = Imported()


def progress_of(path: Path) -> Path:
    """The file that tells how far the transfer from or to a file is."""
    return path.with_name(path.name + ".progress")


def export_file(
    store: Store, kind: Kind, path: Path, *, since: int = 0, tell: Tell, part_rows: int = PART_ROWS
) -> Exported:
    """Write the rows behind a cursor to a JSONL or Parquet file, which appears when it is whole.

    Until then its parts lie in a folder beside it. Raises StoreError, ArtifactError when the disk refuses, and
    SettingsError for another suffix, or when another export to the file was begun.
    """
    form, progress = _format(path), progress_of(path)
    parts = path.with_name(path.name + ".parts")
    last = ExportRange.find(store, kind, since).last
    fresh = Exported(kind=kind, store=_name(store), since=since, last=last, cursor=since)
    state = _resumed(progress, fresh, ("kind", "store", "since"))
    artifacts.write_json(state.model_dump(), progress)
    for lines in export_pages(store, ExportRange(kind, state.cursor, state.last), part_rows):
        _write_part(parts / str(state.parts), form, kind, lines)
        done = {"cursor": lines[-1]["_cursor"], "parts": state.parts + 1, "rows": state.rows + len(lines)}
        state = state.model_copy(update=done)
        artifacts.write_json(state.model_dump(), progress)
        tell(state.cursor - since, state.last - since)
    _join([parts / str(number) for number in range(state.parts)], path, form, kind)
    progress.unlink()
    shutil.rmtree(parts, ignore_errors=True)
    return state


def import_file(store: Store, kind: Importable, path: Path, *, strict: bool = False, tell: Tell) -> Imported:
    """Keep a JSONL or Parquet file's records, a thousand in one transaction; what came of all of them.

    progress_of(path) stays behind, so that of several files none is taken twice: remove it after the last.
    Raises StoreError, UnreadableFileError, DataError for a bad line where that is to stop it, and SettingsError for
    another suffix, or when another import of such a file was begun.
    """
    form, progress, found = _format(path), progress_of(path), _stat(path)
    fresh = ImportProgress(kind=kind, store=_name(store), size=found[0], modified=found[1])
    state = _resumed(progress, fresh, ("kind", "store", "size", "modified"))
    intake = ImportSession(kind, StoreKeeper(store).keep(kind), strict=strict, so_far=state.answer)
    batches = _parquet_batches(path, kind) if form == "parquet" else _json_batches(path, found[0])
    for lines, done, total in batches:
        intake.take(lines)
        if intake.answer.stopped:
            progress.unlink(missing_ok=True)
            raise DataError(f"{path}: {intake.answer.stopped}\nmend the line and import the file again")
        artifacts.write_json(state.model_copy(update={"answer": intake.answer}).model_dump(), progress)
        tell(done, total)
    return intake.answer


def _format(path: Path) -> Format:
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise SettingsError(f"{path}: ends in {path.suffix!r}; wanted one of {', '.join(_FORMATS)}")
    return found


def _name(store: Store) -> str:
    return store.database.engine.url.render_as_string(hide_password=True)


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror}); name a file") from error
    return found.st_size, found.st_mtime_ns


def _resumed(progress: Path, fresh: P, same: Sequence[str]) -> P:
    """What an earlier process has written down of this transfer, if one has."""
    if not progress.exists():
        return fresh
    state = parse(type(fresh), artifacts.read_json(progress), str(progress))
    for name in same:
        was, wanted = getattr(state, name), getattr(fresh, name)
        if was != wanted:
            raise SettingsError(
                f"{progress}: another transfer was begun here, with {name} {was!r}, wanted {wanted!r}\n"
                "finish that one, or delete the file to begin anew"
            )
    return state


def _write_part(path: Path, form: Format, kind: Kind, lines: list[Line]) -> None:
    with artifacts.replacing_file(path) as fresh:
        if form == "parquet":
            pq.write_table(table(kind, lines), fresh, compression="zstd")
        else:
            fresh.write_bytes(jsonl(lines))


def _join(parts: Sequence[Path], path: Path, form: Format, kind: Kind) -> None:
    """Write the parts into one file; one part is in memory at a time."""
    missing = [part for part in parts if not part.exists()]
    if missing:
        raise ArtifactError(f"{missing[0]}: is missing; delete {progress_of(path)} to begin anew")
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
        lines = _json_lines(file)
        while batch := list(islice(lines, BATCH_LINES)):
            yield batch, file.tell(), size


def _json_lines(file: BinaryIO) -> Iterator[NumberedLine]:
    splitter = Splitter()
    while chunk := file.read(_READ_BYTES):
        yield from splitter.feed(chunk)
    yield from splitter.end()


def _parquet_batches(path: Path, kind: Importable) -> Iterator[Batch]:
    """Rows count as lines."""
    read = _event if kind == "events" else _described
    try:
        with pq.ParquetFile(path) as file:
            total, done = file.metadata.num_rows, 0
            for batch in file.iter_batches(BATCH_LINES):
                rows = [read(row) for row in batch.to_pylist()]
                yield list(enumerate(rows, done + 1)), done + len(rows), total
                done += len(rows)
    except pa.ArrowException as error:
        raise UnreadableFileError(f"{path}: is no readable Parquet file ({error}); write it again") from error


def _event(row: Line) -> Line:
    """What a row gives; an empty place gives nothing."""
    return {name: value for name, value in row.items() if value is not None}


def _described(row: Line) -> Line:
    """An item or a user; a column that neither has is one of its attributes."""
    given = _event(row)
    attributes = given.pop("attributes", {})
    if isinstance(attributes, str):
        with contextlib.suppress(ValueError):  # the check of the record says that this is none
            attributes = orjson.loads(attributes)
    own = {name: given.pop(name) for name in _OWN & given.keys()}
    return own | {"attributes": attributes | given if isinstance(attributes, dict) else attributes}
