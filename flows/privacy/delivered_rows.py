"""Takes a user's rows out of the files that `tierrec add` stored, where the rest of a file provably stays the same."""

import gzip
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flows.project.deliveries import replace_contents
from tierrec_core.base.contracts import BoolArray
from tierrec_core.base.errors import DataError
from tierrec_core.base.ids import text_ids
from tierrec_core.base.paths import Layout
from tierrec_core.settings import FilesSource, Source
from tierrec_core.sources.file_columns import read_source_table
from tierrec_core.sources.file_head import opened
from tierrec_core.sources.files import mapped_columns
from tierrec_core.sources.input_files.deliveries import read_deliveries
from tierrec_core.sources.tables import table_kind

_COMPRESS: Mapping[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": lambda content: gzip.compress(content, mtime=0),
    b"\x28\xb5": lambda content: bytes(pa.compress(content, codec="zstd", asbytes=True)),
}
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def forget_in_deliveries(layout: Layout, source: Source, user_id: str) -> Iterator[str]:
    """Take the user's rows out of all deliveries; yields a line on each that had some.

    A file that cannot be changed safely stays as it is, and its line says what to do.
    """
    if not isinstance(source, FilesSource):
        return
    for path in [delivery.path(layout) for delivery in read_deliveries(layout)]:
        is_user = text_ids(mapped_columns(path, source)["user_id"]).eq(user_id).fillna(False).to_numpy(bool)
        if not is_user.any():
            continue
        with tempfile.TemporaryDirectory(prefix="tierrec-forget-") as scratch:
            fresh = Path(scratch) / path.name
            try:
                _write_without(path, fresh, source, is_user)
            except DataError as error:
                yield (
                    f"{path}: NOT changed, since {error}; take its {is_user.sum():,} rows out by hand: delete its line "
                    f"from {layout.delivery_list} and its file, and `tierrec add` a file without them"
                )
                continue
            replace_contents(layout, path, None if is_user.all() else fresh)
        yield f"{path}: {is_user.sum():,} rows erased" + ("; none was left" if is_user.all() else "")


def _write_without(path: Path, fresh: Path, source: FilesSource, is_user: BoolArray) -> None:
    """Write a copy without these rows. Raises DataError unless it is read as the other rows of the file."""
    if is_user.all():
        return
    before = read_source_table(path, source, "source.paths")
    if table_kind(path) == "Parquet":
        table = pq.read_table(path)
        if len(table) != len(is_user):
            raise DataError("one of its rows describes several events")
        pq.write_table(table.filter(pa.array(~is_user)), fresh, compression="zstd")
    else:
        fresh.write_bytes(_text_without(path, is_user))
    try:
        after = read_source_table(fresh, source, "source.paths")
    except DataError as error:
        raise DataError("its rows are not lines of their own") from error
    expected = before[~is_user].reset_index(drop=True)
    if not after.astype("string").equals(expected.astype("string")):
        raise DataError("its rows are not lines of their own")


def _text_without(path: Path, is_user: BoolArray) -> bytes:
    """The content without the lines of these rows: the rows of a file are its last lines that are not blank."""
    with opened(path) as stream:
        content = stream.read()
    # Of these, utf-16 would drop the mark; latin-1 keeps all bytes, whatever they mean.
    encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(content[:2], "latin-1")
    lines = _LINE.findall(content.decode(encoding))
    filled = [number for number, line in enumerate(lines) if line.strip("\r\n\t ")]
    if len(filled) < len(is_user):
        raise DataError("its rows are not lines of their own")
    dropped = {number for number, drop in zip(filled[-len(is_user) :], is_user, strict=True) if drop}
    kept = "".join(line for number, line in enumerate(lines) if number not in dropped).encode(encoding)
    compress = _COMPRESS.get(path.read_bytes()[:2])
    return compress(kept) if compress else kept
