"""Finds a user in one file by its content: Parquet, SQLite, JSON, CSV, compressed and other files."""

import bz2
import csv
import gzip
import io
import json
import lzma
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from flows.privacy.user_pattern import UserPattern
from tierrec_core.base.errors import TierRecError
from tierrec_core.base.memmap import map_arrays
from tierrec_core.bundle.user_tables import UserIndex

_HEAD_BYTES, _SPOOL_BYTES, _JSON_BYTES = 1 << 16, 1 << 24, 1 << 26
_MAX_DEPTH = 4  # of archives inside archives
_BATCH_ROWS = 1 << 16
_SEPARATORS = ",;\t|"
_DECOMPRESSORS: Mapping[bytes, tuple[str, Callable[[BinaryIO], Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"\x28\xb5\x2f\xfd": ("zstd", lambda stream: pa.CompressedInputStream(pa.PythonFile(stream), "zstd")),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
}
_ERRORS = (OSError, EOFError, ValueError, RecursionError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_READ_ERRORS = (*_ERRORS, pa.ArrowException, sqlite3.Error, NotImplementedError, RuntimeError, csv.Error, TierRecError)


@dataclass(frozen=True)
class FoundUser:
    """Where in a file the user was found.

    is_certain: False where a short id may mean anything else; is_readable: False where nobody can tell
    """

    where: str
    is_certain: bool = True
    is_readable: bool = True


@dataclass(frozen=True)
class FileScanner:
    """Searches files for one user, in memory that does not grow with the file."""

    user: UserPattern

    def scan(self, path: Path) -> FoundUser | None:
        """Where the user is in the file; None for nowhere. A file that cannot be read counts as a finding."""
        try:
            if path.name == "text.npy" and path.with_name("offsets.npy").exists():
                is_known = map_arrays(UserIndex, path.parent).find(self.user.user_id) is not None
                return FoundUser("index of users") if is_known else None
            with path.open("rb") as stream:
                if stream.read(16) == b"SQLite format 3\x00" and (found := self._scan_sqlite(path)):
                    return found
                return self.scan_stream(stream)
        except FileNotFoundError:  # deleted since it was listed
            return None
        except _READ_ERRORS as error:
            return _unreadable(error)

    def scan_stream(self, stream: IO[bytes]) -> FoundUser | None:
        """As `scan`, for the content of a file."""
        stream.seek(0)
        try:
            return self._scan_content(stream, 0)
        except _READ_ERRORS as error:
            return _unreadable(error)

    def _scan_content(self, stream: IO[bytes], depth: int) -> FoundUser | None:
        binary = cast("BinaryIO", stream)
        head = binary.read(_HEAD_BYTES)
        binary.seek(0)
        if head[:4] == b"PAR1":
            return self._scan_parquet(binary)
        if head[:4] == b"PK\x03\x04":
            return self._scan_zip(binary, depth)
        for magic, (name, decompress) in _DECOMPRESSORS.items():
            if head.startswith(magic):
                return self._scan_inside(decompress(binary), name, depth)
        return self._scan_bytes(binary, head)

    def _scan_inside(self, content: Any, name: str, depth: int) -> FoundUser | None:
        if depth == _MAX_DEPTH:
            raise ValueError("archives inside archives")
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as whole:
            shutil.copyfileobj(content, whole)
            whole.seek(0)
            found = self._scan_content(whole, depth + 1)
        return FoundUser(f"{name}: {found.where}", found.is_certain) if found else None

    def _scan_zip(self, stream: BinaryIO, depth: int) -> FoundUser | None:
        uncertain = None
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                if self.user.is_distinctive and self.user.holds(member.filename):
                    return FoundUser(f"zip: name {member.filename}")
                with archive.open(member) as content:
                    found = self._scan_inside(content, f"zip: {member.filename}", depth)
                if found and found.is_certain:
                    return found
                uncertain = uncertain or found
        return uncertain

    def _scan_bytes(self, stream: BinaryIO, head: bytes) -> FoundUser | None:
        is_text = b"\x00" not in head or head[:2] in (b"\xff\xfe", b"\xfe\xff")
        if self.user.is_distinctive:
            is_found = self.user.is_word_of(stream) if is_text else self.user.is_part_of(stream)
            return FoundUser("text" if is_text else "bytes") if is_found else None
        if not is_text:
            is_index = head.startswith(b"\x93NUMPY") and b"'|u1'" in head[:128]
            return FoundUser("ids without separators", is_certain=False) if is_index else None
        if (known := self._scan_known_text(stream, head)) is not None:
            return FoundUser(known) if known else None
        stream.seek(0)
        return FoundUser("text", is_certain=False) if self.user.is_word_of(stream) else None

    def _scan_known_text(self, stream: BinaryIO, head: bytes) -> str | None:
        """Where the user is in JSON (lines) or CSV with a column of users; empty for nowhere, None for other texts."""
        encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        start = head.decode(encoding, "replace").lstrip()
        text = io.TextIOWrapper(stream, encoding, errors="replace", newline="")
        try:
            if start[:1] in ("{", "["):
                return self._scan_json(text)
            header = start.split("\n", 1)[0]
            separator = max(_SEPARATORS, key=header.count)
            names = [name.strip().strip('"').lower() for name in header.strip().split(separator)]
            positions = [position for position, name in enumerate(names) if name in self.user.columns]
            if not positions:
                return None
            for row in csv.reader(text, delimiter=separator):
                for position in positions:
                    if position < len(row) and self.user.is_id(row[position]):
                        return f"column {names[position]}"
            return ""
        finally:
            text.detach()

    def _scan_json(self, text: io.TextIOWrapper) -> str | None:
        try:
            content = text.read(_JSON_BYTES)
            documents = [json.loads(content)]
        except ValueError:
            if len(content) == _JSON_BYTES:
                return None
            try:
                documents = [json.loads(line) for line in content.splitlines() if line.strip()]
            except ValueError:
                return None
        keys = (key for document in documents for key in self._json_keys(document, ""))
        return next((f"key {key}" for key in keys), "")

    def _json_keys(self, value: Any, key: str) -> Iterator[str]:
        """The keys below which the id is a value or a key, if they name users."""
        names_user = "user" in key.lower() or key.lower() in self.user.columns
        if isinstance(value, dict):
            for name, inner in value.items():
                if names_user and name == self.user.user_id:
                    yield key
                yield from self._json_keys(inner, key if names_user else str(name))
        elif isinstance(value, list):
            for inner in value:
                yield from self._json_keys(inner, key)
        elif isinstance(value, str):
            if (names_user and self.user.is_id(value)) or self.user.is_session(value):
                yield key
        elif isinstance(value, int) and key.lower() in self.user.columns and str(value) == self.user.user_id:
            yield key

    def _scan_parquet(self, stream: BinaryIO) -> FoundUser | None:
        file = pq.ParquetFile(stream)
        if self.user.is_distinctive and any(map(self.user.holds, file.schema_arrow.names)):
            return FoundUser("name of a column")
        for batch in file.iter_batches(_BATCH_ROWS):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                for leaf, values in _leaves(name, column):
                    if self._is_in_column(leaf, values):
                        return FoundUser(f"column {leaf}")
        return None

    def _is_in_column(self, name: str, values: pa.Array) -> bool:
        """Whether the user is in a column: as a whole value, or as a word of a text where the id is distinctive."""
        is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        if name.rpartition(".")[2].lower() in self.user.columns:
            if self.user.is_in(values.unique().to_pandas()):
                return True
        elif not (is_text or pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
            return False
        if self.user.is_distinctive:
            joined = "\n".join(_text(value) for value in values.unique().to_pylist() if value is not None)
            return self.user.holds(joined)
        return is_text and any(self.user.is_session(value) for value in values.unique().to_pylist() if value)

    def _scan_sqlite(self, path: Path) -> FoundUser | None:
        """Search the rows of all tables; the raw bytes, which also have deleted rows, are searched elsewhere."""
        user = self.user.user_id
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            tables = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
            for (table,) in tables:
                for column in connection.execute(f"pragma table_info({_quoted(table)})").fetchall():
                    cell = f"cast({_quoted(column[1])} as text)"
                    if column[1].lower() in self.user.columns:
                        condition = f"{cell} = ? collate nocase" if "@" in user else f"{cell} = ?"
                    elif self.user.is_distinctive:
                        condition = f"instr(lower({cell}), lower(?)) > 0"
                    else:
                        continue
                    query = f"select 1 from {_quoted(table)} where {condition} limit 1"  # noqa: S608 - quoted
                    if connection.execute(query, (user,)).fetchone():
                        return FoundUser(f"table {table}, column {column[1]}")
        return None


def _unreadable(error: BaseException) -> FoundUser:
    return FoundUser(f"cannot be read ({type(error).__name__}: {error!s:.80})", is_readable=False)


def _leaves(name: str, values: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """The columns inside a column of structs, lists or a dictionary, with dotted names."""
    kind = values.type
    if pa.types.is_struct(kind):
        for position in range(kind.num_fields):
            yield from _leaves(f"{name}.{kind.field(position).name}", values.field(position))
    elif pa.types.is_map(kind):
        yield from _leaves(f"{name}.key", values.keys)
        yield from _leaves(name, values.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(name, values.flatten())
    elif pa.types.is_dictionary(kind):
        yield from _leaves(name, values.dictionary)
    else:
        yield name, values


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
