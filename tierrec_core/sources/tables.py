"""Reads a file of CSV, JSON or Parquet to the row, for `init` and `ingest` alike, on PyArrow."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from tierrec_core.base.contracts import BoolArray, IntArray
from tierrec_core.base.errors import EmptyDataError, UnreadableFileError
from tierrec_core.settings import TableFormat
from tierrec_core.sources.file_head import MAX_ROW_BYTES, TOO_LONG, FileHead, filled_width, is_cut, numbered
from tierrec_core.sources.input_files.partitions import partition_cells
from tierrec_core.sources.json_files import cut_line, json_batches, json_schema

TableKind = Literal["Parquet", "JSON lines", "CSV"]
SUFFIX_KINDS: dict[str, TableKind] = {
    **dict.fromkeys((".parquet", ".pq"), "Parquet"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "JSON lines"),
    **dict.fromkeys((".csv", ".tsv", ".txt"), "CSV"),
}  # by suffix
_INDEX = "__index_level_"
_BLOCK = 1000
_SHOWN = 60
_NULL_WORDS = r"""- \N NULL null Null (null) <null> <NULL> <NA> None none NONE (none) NaN nan undefined #N/A #NULL! N/A
    n/a n.a."""  # as databases, pandas, spreadsheets and web analytics write them
_NULLS = ("", "(not set)", *_NULL_WORDS.split())
ITEM_ID = re.compile(r"(item|product|article|variant)_?(id|nr|no|number)|sku|asin|isbn|ean|gtin", re.IGNORECASE)
_TEXT = pd.StringDtype("pyarrow")
_DTYPES = {
    pa.string(): _TEXT,
    pa.large_string(): _TEXT,
    pa.bool_(): pd.BooleanDtype(),
    pa.float32(): pd.Float32Dtype(),
    pa.float64(): pd.Float64Dtype(),
    **{
        pa.type_for_alias(kind.lower()): pd.api.types.pandas_dtype(kind)
        for kind in (f"{sign}nt{bits}" for sign in ("I", "UI") for bits in (8, 16, 32, 64))
    },
}


def table_kind(path: Path) -> TableKind:
    """What the name says that the file is: Parquet, JSON lines or an array (perhaps compressed), or CSV."""
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    return next((kind for suffix, kind in SUFFIX_KINDS.items() if suffix in suffixes), "CSV")


def read_table(path: Path, form: TableFormat, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """All rows, or those columns of them; CSV cells are text, so that 007 stays 007, without blanks around them.

    Raises UnreadableFileError, naming the line where there is one, and EmptyDataError.
    """
    return _frame(path, list(_batches(path, form, columns)))


def ends_cut(path: Path, form: TableFormat) -> bool:
    """Whether the last row, which is empty in JSON lines, is of a line that is cut, as while it is written."""
    kind = table_kind(path)
    return is_cut(path, form) if kind == "CSV" else kind == "JSON lines" and bool(cut_line(path))


def repeats_names(frame: pd.DataFrame) -> BoolArray:
    """Whether a row has the names of the columns, as where files were written one after the other, [N].

    A nameless column is empty there, and a numbered one may have its name without the number.
    """
    is_text = all(isinstance(dtype, pd.StringDtype) for dtype in frame.dtypes)  # as in CSV
    rows = np.arange(len(frame) if is_text else 0)
    for position, name in enumerate(frame.columns if len(rows) else ()):
        written = [name, re.sub(r"_\d+$", "", name), "" if name == f"column{position}" else name]
        rows = rows[frame[name].iloc[rows].fillna("").isin(written).to_numpy(dtype=bool)]
    return np.isin(np.arange(len(frame)), rows)


def sample_table(path: Path, form: TableFormat, max_rows: int) -> tuple[pd.DataFrame, int]:
    """At most max_rows rows, in blocks that are spread evenly over the whole file, and the number of its rows."""
    kept: list[tuple[IntArray, pa.RecordBatch]] = []
    stride, num_rows = 1, 0
    for batch in _batches(path, form):
        blocks = np.arange(num_rows, num_rows + len(batch)) // _BLOCK
        num_rows += len(batch)
        kept.append(_thinned(blocks, batch, stride))
        while sum(len(rows) for _, rows in kept) > max_rows:
            stride *= 2
            kept = [_thinned(blocks, rows, stride) for blocks, rows in kept]
    return _frame(path, [rows for _, rows in kept]), num_rows


def _thinned(blocks: IntArray, batch: pa.RecordBatch, stride: int) -> tuple[IntArray, pa.RecordBatch]:
    mask = blocks % stride == 0
    return blocks[mask], batch.filter(pa.array(mask))


def _frame(path: Path, batches: list[pa.RecordBatch]) -> pd.DataFrame:
    table = pa.Table.from_batches(batches) if batches else None
    if table is None or not table.num_rows:
        raise EmptyDataError(f"{path}: has no rows")
    frame: pd.DataFrame = table.to_pandas(types_mapper=_DTYPES.get, ignore_metadata=True)
    return frame


def _batches(path: Path, form: TableFormat, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows in the order of the file."""
    if not path.is_file():
        raise UnreadableFileError(f"{path}: is not a file")
    if path.stat().st_size == 0:
        raise EmptyDataError(f"{path}: the file is empty")
    partitions, wanted = partition_cells(path), columns
    columns = None if partitions else columns
    try:
        if table_kind(path) == "CSV":
            raw = _csv_batches(FileHead.read(path, form), columns)
        else:
            raw = _typed_batches(path, form.explode, columns)
        for batch in raw:
            rows = pa.RecordBatch.from_arrays([_plain_cells(cells) for cells in batch.columns], batch.schema.names)
            yield _with_partitions(rows, partitions, wanted)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        if "straddling" in reason:
            raise UnreadableFileError(f"{path}: {TOO_LONG}") from error
        remedy = "write one object a line, with values of one type in each column"
        remedy = remedy if table_kind(path) == "JSON lines" else "write it again"
        kind = table_kind(path).replace("CSV", f"{form.encoding} text with {form.separator!r} between cells")
        raise UnreadableFileError(f"{path}: cannot be read as {kind}: {reason}; {remedy}") from error


def _with_partitions(
    rows: pa.RecordBatch, partitions: Mapping[str, str | None], wanted: Sequence[str] | None
) -> pa.RecordBatch:
    """The rows, with the columns of the partitions that they have not, and of these the wanted ones."""
    for name, value in partitions.items():
        if name not in rows.schema.names:
            rows = rows.append_column(name, pa.array([value] * len(rows), pa.string()))
    return rows.select(list(wanted)) if partitions and wanted is not None else rows


def _typed_batches(path: Path, explode: str | None, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    explodes = explode is not None and explode in list_columns(path, explode)
    for batch in _raw_batches(path, explode, None if explodes else columns):
        rows = _flat(batch)
        rows = _flat(_exploded(rows, str(explode))) if explodes else rows
        rows = rows if columns is None else rows.select(list(columns))
        yield rows
    if table_kind(path) == "JSON lines" and cut_line(path):
        yield pa.RecordBatch.from_pylist([{}], rows.schema)


def _raw_batches(path: Path, explode: str | None, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    if table_kind(path) == "Parquet":
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if not name.startswith(_INDEX)]
            yield from file.iter_batches(columns=names if columns is None else list(columns))
    else:
        yield from json_batches(path, explode)


def _flat(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A column for each field of the structs, such as properties.product_id."""
    while any(pa.types.is_struct(kind) for kind in batch.schema.types):
        table = pa.Table.from_batches([batch]).flatten()
        batch = pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], table.schema.names)
    return batch.rename_columns(list(numbered(batch.schema.names)))


def list_columns(path: Path, explode: str | None = None) -> dict[str, list[str]]:
    """The names in the structs of each column of lists of structs of a file of Parquet or JSON."""
    schema = pq.read_schema(path) if table_kind(path) == "Parquet" else json_schema(path, explode)
    schema = _flat(pa.RecordBatch.from_pylist([], schema)).schema
    lists = {field.name: field.type.value_type for field in schema if pa.types.is_list(field.type)}
    return {name: [field.name for field in kind] for name, kind in lists.items() if pa.types.is_struct(kind)}


def _exploded(batch: pa.RecordBatch, column: str) -> pa.RecordBatch:
    """One row for each struct of the column's lists; the structs' fields are columns beside the list.

    A row without a list stays if it names an item itself. Its cells fill the column of the field; where a name has
    another meaning beside the list, the field's column is prefixed.
    """
    lists, parent = batch.column(column), column.rpartition(".")[0]
    names = {field.name: f"{parent}.{field.name}" if parent else field.name for field in lists.type.value_type}
    ids = [name for field, name in names.items() if ITEM_ID.fullmatch(field) and name in batch.schema.names]
    is_lone = pc.fill_null(pc.equal(pc.list_value_length(lists), 0), True)
    own = [pc.and_(is_lone, pc.is_valid(batch.column(name))) for name in ids]
    lone = pc.indices_nonzero(reduce(pc.or_, own)) if own else pa.array([], pa.uint64())
    parents = pa.concat_arrays([pc.list_parent_indices(lists), lone.cast(pa.int64())])
    order = pc.sort_indices(parents)
    parents, structs = parents.take(order), pc.list_flatten(lists)
    structs = pa.concat_arrays([structs, pa.nulls(len(lone), structs.type)]).take(order)
    columns = {name: batch.column(name).take(parents) for name in batch.schema.names if name != column}
    for field, cells in zip(structs.type, structs.flatten(), strict=True):
        name = names[field.name]
        if name in columns and (parent or name in ids):
            kind = field.type if columns[name].type == field.type else pa.string()
            columns[name] = pc.if_else(is_lone.take(parents), columns[name].cast(kind), cells.cast(kind))
        else:
            columns[f"{column}_{field.name}" if name in columns else name] = cells
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _plain_cells(cells: pa.Array) -> pa.Array:
    """Texts without blanks around them, and null where nothing or a null of SQL is left; dates as timestamps."""
    kind = cells.type
    if pa.types.is_date(kind):
        return cells.cast(pa.timestamp("ms"))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        cells = _decoded(cells)
    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        return cells
    texts = pc.utf8_trim_whitespace(cells)
    return pc.if_else(pc.is_in(texts, pa.array(_NULLS, texts.type)), pa.scalar(None, texts.type), texts)


def _decoded(cells: pa.Array) -> pa.Array:
    try:
        return cells.cast(pa.string())
    except pa.ArrowInvalid:
        return cells


def _csv_batches(head: FileHead, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    kept = list(head.names if columns is None else columns)
    uneven: deque[csv.InvalidRow] = deque()

    def set_aside(row: csv.InvalidRow) -> str:
        uneven.append(row)
        return "skip"

    start = head.num_skipped + 1  # number of the batch's first row, which only a single thread counts
    for batch in _csv_reader(head, kept, set_aside) if head.rows else ():
        for name, cells in zip(kept, batch.columns, strict=True):
            _check_cells(cells.filter(pc.match_substring(cells, "\n")).to_pylist(), name, head)
        rows = _with_uneven(batch, start, uneven, head)
        start += len(rows)
        yield rows
    if uneven:
        yield _with_uneven(
            pa.RecordBatch.from_pydict({name: pa.array([], pa.string()) for name in kept}), 0, uneven, head
        )


def _csv_reader(head: FileHead, kept: list[str], set_aside: Callable[[csv.InvalidRow], str]) -> csv.CSVStreamingReader:
    names = [*head.names, *(f"\x1f{position}" for position in range(len(head.names), head.width))]
    return csv.open_csv(
        head.open(),
        read_options=csv.ReadOptions(
            column_names=names, skip_rows=head.num_skipped, use_threads=False, block_size=MAX_ROW_BYTES
        ),
        parse_options=csv.ParseOptions(
            delimiter=head.delimiter,
            quote_char=head.quote or False,
            escape_char=head.escape or False,
            newlines_in_values=True,
            invalid_row_handler=set_aside,
        ),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=kept),
    )


def _with_uneven(batch: pa.RecordBatch, start: int, uneven: deque[csv.InvalidRow], head: FileHead) -> pa.RecordBatch:
    """The batch, whose first row has the number `start`, with the rows of another width that stand in it.

    They are taken from `uneven`; all of them by a batch without rows.
    """
    names, places, cells = batch.schema.names, list[float](), list[list[str | None]]()
    while uneven and (not len(batch) or uneven[0].number - start - len(places) <= len(batch)):
        row = uneven.popleft()
        places.append(row.number - start - len(places) - 0.5)
        evened = dict(zip(head.names, _evened(row.text, head), strict=True))
        cells.append([evened[name] for name in names])
    if not cells:
        return batch
    order = np.argsort([*range(len(batch)), *places], kind="stable")
    columns = zip(batch.columns, zip(*cells, strict=True), strict=True)
    arrays = [pa.concat_arrays([column, pa.array(added, pa.string())]).take(order) for column, added in columns]
    return pa.RecordBatch.from_arrays(arrays, names)


def _check_cells(cells: list[str], name: str, head: FileHead) -> None:
    """Raise UnreadableFileError where a quotation mark without a partner made the rows after it one cell."""
    for cell in cells:
        if head.holds_rows(cell, head.names.index(name)):
            start = cell.splitlines()[0]
            raise UnreadableFileError(
                f"{head.path}: {head.place_of(head.quote + start)}: the quotation mark before {start[:_SHOWN]!r} "
                f"has no partner, so that the rows after it would be one cell\nremove it or double it; "
                "source.quote: '' reads all quotation marks as text, and source.escape: \\ those after a backslash"
            )


def _evened(text: str, head: FileHead) -> list[str | None]:
    """The cells of a row of another width: an empty cell at its end is dropped, missing ones are empty."""
    cells, width = head.cells(text), len(head.names)
    for name, cell in zip(head.names, cells, strict=False):
        _check_cells([cell], name, head)
    if filled_width(cells) > width:
        raise UnreadableFileError(
            f"{head.path}: {head.place_of(text.splitlines()[0])}: {filled_width(cells)} cells, wanted {width} "
            f"({text[:_SHOWN]!r})\nquote the cells that contain {head.separator!r}, or correct source.separator"
        )
    if head.separator == " " and filled_width(cells) < width:
        raise UnreadableFileError(
            f"{head.path}: {head.place_of(text.splitlines()[0])}: {filled_width(cells)} cells, wanted {width} "
            f"({text[:_SHOWN]!r})\nwith blanks between cells none may be empty; write the file with another separator"
        )
    padded: list[str | None] = [*cells[:width]]
    return padded + [None] * (width - len(padded))
