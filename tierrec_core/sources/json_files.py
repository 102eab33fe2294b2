"""Reads a file of JSON: an object a line, an array, or a document whose rows lie under one of its keys."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from pyarrow import json

from tierrec_core.base.errors import UnreadableFileError
from tierrec_core.sources.file_head import MAX_ROW_BYTES, opened

ROW_KEYS = ("data", "events", "items", "results", "rows", "records", "hits")
_MAX_INTEGER = 2**63 - 1
_DIGITS = re.compile(rb"\d{19}")
_LONG_INTEGER = re.compile(rb'"([^"\\]+)"\s*:\s*(-?\d{19,})(?=[\s,}])')


def json_batches(path: Path, explode: str | None) -> Iterator[pa.RecordBatch]:
    """The rows but for a cut one at the end. A column with an integer of more than 64 bits is text.

    explode: see TableFormat; such a list is not the rows themselves
    """
    keys = _long_integer_keys(path)
    if _is_document(path, explode):
        rows = _rows_of(path, orjson.loads(_content(path, keys)), explode)
        yield from [pa.RecordBatch.from_struct_array(pa.array(rows))] if rows else []
        return
    cut = cut_line(path)
    with pa.BufferReader(_content(path, keys, cut)) if keys or cut else opened(path) as stream:
        yield from json.read_json(stream, json.ReadOptions(block_size=MAX_ROW_BYTES)).to_batches()


def cut_line(path: Path) -> bytes:
    """The last of several lines of objects, where it has no end and is cut, as while it is written; else empty."""
    if isinstance(opened(path), pa.CompressedInputStream):
        return b""
    with path.open("rb") as stream:
        first = stream.readline(MAX_ROW_BYTES)
        start = max(stream.tell(), path.stat().st_size - MAX_ROW_BYTES)
        stream.seek(start)
        *others, last = stream.read().split(b"\n")
    is_whole = others or start == len(first)  # else it is the end of a longer line
    if not is_whole or not last.strip() or not first.endswith(b"\n") or not _is_object(first) or _is_object(last):
        return b""
    return last


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line.removeprefix(codecs.BOM_UTF8)), dict)
    except ValueError:
        return False


def json_schema(path: Path, explode: str | None) -> pa.Schema:
    """The columns and their types, in a file of lines those of its first rows."""
    if _is_document(path, explode):
        return next((batch.schema for batch in json_batches(path, explode)), pa.schema([]))
    cut = cut_line(path)
    with pa.BufferReader(_content(path, set(), cut)) if cut else opened(path) as stream:
        return json.open_json(stream, json.ReadOptions(block_size=MAX_ROW_BYTES)).schema


def _is_document(path: Path, explode: str | None) -> bool:
    """Whether the file is one value of JSON, instead of an object a line."""
    with opened(path) as stream:
        head = bytes(stream.read(MAX_ROW_BYTES)).removeprefix(codecs.BOM_UTF8).lstrip()
    first, _, others = head.partition(b"\n")
    if head.startswith(b"["):
        return True
    try:
        value = orjson.loads(first)
    except ValueError:
        return bool(others.strip()) or len(head) >= MAX_ROW_BYTES / 2
    return not others.strip() and isinstance(value, dict) and bool(_row_lists(value, explode))


def _rows_of(path: Path, document: Any, explode: str | None) -> list[Any]:
    if isinstance(document, list):
        return document
    lists = _row_lists(document, explode)
    named = {key: rows for key, rows in lists.items() if key.rpartition(".")[2] in ROW_KEYS} or lists
    if len(named) > 1:
        raise UnreadableFileError(
            f"{path}: has lists of objects under {', '.join(lists)}; wanted one list of rows\n"
            "write the one to be read to a file of its own"
        )
    return next(iter(named.values()), [document])


def _row_lists(document: dict[str, Any], explode: str | None, prefix: str = "") -> dict[str, list[Any]]:
    """The lists of objects in a document, by their keys; those of inner objects where there is no other."""
    lists = {
        prefix + key: value
        for key, value in document.items()
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value) and prefix + key != explode
    }
    inner = {prefix + key: value for key, value in document.items() if isinstance(value, dict)}
    for key, value in {} if lists else inner.items():
        lists |= _row_lists(value, explode, f"{key}.")
    return lists


def _content(path: Path, keys: set[bytes], cut: bytes = b"") -> bytes:
    """The bytes but for a cut line at their end, with the integers of these keys as texts."""
    with opened(path) as stream:
        raw = bytes(stream.read()).removesuffix(cut).removeprefix(codecs.BOM_UTF8)
    if not keys:
        return raw
    names = b"|".join(map(re.escape, sorted(keys)))
    return re.sub(rb'("(?:' + names + rb')"\s*:\s*)(-?\d+)(?=[\s,}])', rb'\1"\2"', raw)


def _long_integer_keys(path: Path) -> set[bytes]:
    """The keys with an integer that 64 bits do not hold."""
    keys, rest = set[bytes](), b""
    with opened(path) as stream:
        while chunk := bytes(stream.read(MAX_ROW_BYTES)):
            text, rest = rest + chunk, (rest + chunk)[-1000:]
            if _DIGITS.search(text):
                keys |= {key for key, digits in _LONG_INTEGER.findall(text) if abs(int(digits)) > _MAX_INTEGER}
    return keys
