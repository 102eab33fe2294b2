"""Reads the head of a CSV file: compression, encoding, and where its rows begin."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import pyarrow as pa

from tierrec_core.base.errors import EmptyDataError, UnreadableFileError
from tierrec_core.settings import TableFormat

_HEAD_BYTES = 1 << 18
_MIN_LINES = 2
MAX_ROW_BYTES = 1 << 24
TOO_LONG = "a row has more than 16 MiB; leave its long cells out, or write a line end after each row"
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_ARROW = (
    'python -c "import pyarrow.{kind} as f, pyarrow.parquet as p; '
    "p.write_table(f.read_table('FILE'), 'FILE.parquet')\""
)
_AVRO = (
    'pip install fastavro; python -c "import fastavro, pandas; '
    "pandas.DataFrame(fastavro.reader(open('FILE', 'rb'))).to_parquet('FILE.parquet')\""
)
_OTHERS = {
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "save its table as CSV or Parquet"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save its table as CSV or Parquet"),
    b"ARRO": ("a Feather file of Arrow", "convert it: " + _ARROW.format(kind="feather")),
    b"FEA1": ("a Feather file of Arrow", "convert it: " + _ARROW.format(kind="feather")),
    b"ORC": ("an ORC file", "convert it: " + _ARROW.format(kind="orc")),
    b"Obj\x01": ("an Avro file", "convert it: " + _AVRO),
    b"PAR1": ("a Parquet file", "give it a name that ends with .parquet"),
    b"SQLi": ("a SQLite database", "export its tables as CSV"),
}  # by their first bytes, what they are and what to do
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_SEPARATOR_LINE = re.compile(r'"?sep=(.+?)"?', re.IGNORECASE)
_LINE_END = re.compile(r"\r\n?|\n")
_UNIT = "\x1f"  # ASCII's unit separator, in place of separators of several characters
_MIN_DIGITS = 0.9


@dataclass(frozen=True)
class FileHead:
    """The first lines of a CSV file; num_skipped lines up to the header, and the rows after it, precede the rest.

    above: the filled lines above the header, such as titles
    A byte order mark and a `sep=` line take precedence over the format.
    """

    path: Path
    encoding: str
    separator: str
    quote: str
    escape: str
    names: tuple[str, ...]
    num_skipped: int
    rows: tuple[tuple[str, ...], ...]
    above: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path, form: TableFormat) -> Self:
        """Raises UnreadableFileError for bytes of another encoding or kind of file, and EmptyDataError."""
        encoding, text = read_head_text(path, form.encoding)
        first, _, _ = text.partition("\n")
        stated = _SEPARATOR_LINE.fullmatch(first.strip())
        separator = stated[1] if stated else form.separator
        split = _split(text, separator, form.quote, form.escape)
        rows = [(line, row) for line, row in split if filled_width(row)][1 if stated else 0 :]
        if not rows:
            raise EmptyDataError(f"{path}: has no columns; name another file")
        width = Counter(filled_width(row) for _, row in rows).most_common(1)[0][0]
        is_above = _is_narrow if separator == " " else _is_preamble
        start = next((n for n, (_, row) in enumerate(rows) if not is_above(row, width)), 0)
        line, header = rows[start]
        if start + 1 < len(rows) and _is_rule(rows[start + 1][1]):
            line = rows.pop(start + 1)[0]
        body = tuple(row for _, row in rows[start + 1 :])
        above = tuple(separator.join(row) for _, row in rows[:start])
        return cls(path, encoding, separator, form.quote, form.escape, _names(header), line, body, above)

    @cached_property
    def width(self) -> int:
        """Number of cells of most rows: one more than there are names where rows end with a separator."""
        widths = Counter(len(row) for row in self.rows if filled_width(row) <= len(self.names))
        return max(len(self.names), widths.most_common(1)[0][0] if widths else 0)

    @cached_property
    def digit_columns(self) -> frozenset[int]:
        """Positions of the columns whose cells have digits, such as times."""
        return frozenset(
            position
            for position in range(len(self.names))
            if (cells := [row[position] for row in self.rows if len(row) > position and row[position]])
            and sum(any(map(str.isdigit, cell)) for cell in cells) >= _MIN_DIGITS * len(cells)
        )

    def holds_rows(self, cell: str, position: int) -> bool:
        """Whether the lines of a cell are rows of the file, since a stray quotation mark joined them."""
        lines = [line.split(self.delimiter) for line in cell.splitlines()]
        if len(lines) < 2:
            return False
        first, *others = lines
        last, after = others[-1], self.width - position
        return (
            any(len(cells) == self.width and self._looks_like_row(cells, 0) for cells in others)
            or (len(first) == after and self._looks_like_row(first[1:], position + 1))
            or (len(last) == position + 1 and self._looks_like_row(last[:-1], 0))
        )

    def _looks_like_row(self, cells: Sequence[str], start: int) -> bool:
        """Whether the cells from position start on have digits where the file's have."""
        found = [cells[position - start] for position in self.digit_columns if 0 <= position - start < len(cells)]
        return bool(found) and all(any(map(str.isdigit, cell)) for cell in found)

    def open(self) -> Any:
        """The whole file, decompressed, in UTF-8, with separators of one character."""
        stream = opened(self.path)
        if self.encoding == "utf-8" and len(self.separator) == 1:
            return stream
        return pa.TransformInputStream(stream, _Transcoder(self.encoding, self.separator))

    @property
    def delimiter(self) -> str:
        """The separator in the opened file."""
        return self.separator if len(self.separator) == 1 else _UNIT

    def cells(self, text: str) -> list[str]:
        """The cells of a row of the opened file."""
        return next((list(row) for _, row in _split(text, self.delimiter, self.quote, self.escape)), [])

    def place_of(self, text: str) -> str:
        """Line and row number of the text, of a line with an odd number of quotation marks if there is one."""
        lines = io.TextIOWrapper(self.open(), encoding="utf-8", errors="replace")
        found = [(line.count('"') % 2 == 0, number) for number, line in enumerate(lines, 1) if text in line]
        number = min(found)[1] if found else 0
        return f"line {number} (row {number - self.num_skipped})"


class _Transcoder:
    """Turns chunks of bytes into UTF-8 and long separators into one character."""

    def __init__(self, encoding: str, separator: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._separator = separator
        self._rest = ""

    def __call__(self, chunk: Any) -> bytes:
        text = self._rest + self._decoder.decode(bytes(chunk), final=not len(chunk))
        held = len(self._separator) - 1 if len(chunk) else 0
        if len(self._separator) > 1:
            text = text.replace(self._separator, _UNIT)
        cut = len(text) - held
        text, self._rest = text[:cut], text[cut:]
        return text.encode()


def opened(path: Path) -> Any:
    """The bytes of a file, decompressed. Raises UnreadableFileError for an archive, a workbook or a binary format."""
    with path.open("rb") as stream:
        magic = stream.read(4)
        stream.seek(max(0, path.stat().st_size - 4))
        end = stream.read(4)
    for start, (kind, remedy) in _OTHERS.items():
        if magic.startswith(start) and (start != b"ORC" or b"ORC" in end):
            raise UnreadableFileError(f"{path}: is {kind}; {remedy.replace('FILE', str(path))}")
    compression = next((name for start, name in _COMPRESSIONS.items() if magic.startswith(start)), None)
    source = pa.OSFile(str(path))
    return source if compression is None else pa.CompressedInputStream(source, compression)


def is_cut(path: Path, form: TableFormat) -> bool:
    """Whether the last line has no end, and fewer cells than the others, as while it is written; not if compressed."""
    head = FileHead.read(path, form)
    if isinstance(opened(path), pa.CompressedInputStream) or head.encoding.startswith("utf-16"):
        return False
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _HEAD_BYTES))
        tail = stream.read()
    last = _LINE_END.split(tail.decode(head.encoding, "ignore"))[-1].replace(head.separator, head.delimiter)
    if tail.endswith((b"\n", b"\r")) or last.count('"') % 2:  # the rest of a cell with a line end
        return False
    rows = head.rows[:-1] if len(tail) < _HEAD_BYTES else head.rows
    return len(head.cells(last)) < len(head.names) <= min(map(len, rows), default=0)


def read_head_text(path: Path, encoding: str) -> tuple[str, str]:
    """The encoding, and the whole lines of the head."""
    raw = b""
    with opened(path) as stream:
        while len(raw) < _HEAD_BYTES or (raw.count(b"\n") < _MIN_LINES and len(raw) < MAX_ROW_BYTES):
            if not (chunk := stream.read(_HEAD_BYTES)):
                break
            raw += chunk
    if len(raw) >= MAX_ROW_BYTES and raw.count(b"\n") < _MIN_LINES:
        raise UnreadableFileError(f"{path}: {TOO_LONG}")
    encoding = _marked(raw) or encoding
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(raw)
    except (UnicodeDecodeError, LookupError) as error:
        raise UnreadableFileError(f"{path}: {_not_decoded(encoding, error)}") from error
    text = text.removeprefix("\ufeff")
    return encoding, text if len(raw) < _HEAD_BYTES else text[: text.rfind("\n") + 1]


def stated_encoding(path: Path) -> str | None:
    """The encoding that a byte order mark states."""
    with opened(path) as stream:
        return _marked(stream.read(4))


def _marked(raw: bytes) -> str | None:
    return next((name for mark, name in _MARKS.items() if raw.startswith(mark)), None)


def _not_decoded(encoding: str, error: Exception) -> str:
    return f"is not {encoding} text ({error}); give its encoding in source.encoding, such as cp1252 or gb18030"


def _split(text: str, separator: str, quote: str, escape: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The rows, each with the number of its last line."""
    single = separator if len(separator) == 1 else _UNIT
    lines = io.StringIO(text.replace(separator, single), newline="")
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
    csv.field_size_limit(MAX_ROW_BYTES + _HEAD_BYTES)
    reader = csv.reader(
        lines,
        delimiter=single,
        quotechar=quote or None,
        escapechar=escape or None,
        quoting=quoting,
        skipinitialspace=True,
    )
    for row in reader:
        yield reader.line_num, tuple(row)


def filled_width(row: Sequence[str]) -> int:
    """The number of cells without the empty ones at the end."""
    width = len(row)
    while width and not row[width - 1].strip():
        width -= 1
    return width


def _is_preamble(row: Sequence[str], width: int) -> bool:
    """Whether the row is a comment or a title above the header."""
    return filled_width(row) <= width / 2 or (row[0].startswith("#") and filled_width(row) != width)


def _is_narrow(row: Sequence[str], width: int) -> bool:
    """Whether the row has another number of words than most, as a title above columns that blanks separate."""
    return filled_width(row) != width


def _is_rule(row: Sequence[str]) -> bool:
    """Whether the row is a line below the names of columns."""
    return all(re.fullmatch(r"[-=+_\s]*", cell) for cell in row) and any(len(cell.strip()) > 1 for cell in row)


def _names(header: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns; nameless and repeated ones are numbered."""
    cells = header[: filled_width(header)]
    return tuple(numbered(cell.strip() or f"column{position}" for position, cell in enumerate(cells)))


def numbered(names: Iterable[str]) -> Iterator[str]:
    """The names, of which repeated ones get a number: price, price_1."""
    seen: Counter[str] = Counter()
    for name in names:
        yield f"{name}_{seen[name]}" if seen[name] else name
        seen[name] += 1
