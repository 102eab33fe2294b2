"""Detects how a CSV file is written, for `init`; `ingest` reads with what params.yaml says."""

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow as pa

from tierrec_core.base.errors import EmptyDataError, UnreadableFileError
from tierrec_core.settings import TableFormat, parse
from tierrec_core.sources.file_head import FileHead, filled_width, read_head_text
from tierrec_core.sources.json_files import ROW_KEYS
from tierrec_core.sources.numbers import detect_decimal
from tierrec_core.sources.schema_inference.row_kinds.server_logs import refuse_server_log
from tierrec_core.sources.schema_inference.text_encoding import detect_encoding
from tierrec_core.sources.tables import ITEM_ID, list_columns, sample_table, table_kind

_SEPARATORS = (",", ";", "\t", "|", "::", "^", "~", ":", " ")
_MIN_SHARE, _MIN_ALIGNED, _MAX_LINES = 0.9, 10, 200
_ESCAPED = re.compile(
    r'(?:^|[\s("\[])\\"\w|\d\\"(?:"| ?\w)', re.MULTILINE
)  # not a folder's backslash at the end of a cell
_QUOTED_CELL = r'^".*"$'


def detect_sample(path: Path, given: Mapping[str, str], max_rows: int) -> tuple[TableFormat, pd.DataFrame, int]:
    """The file's format, a sample of its rows, and their number. given: settings of TableFormat, which win.

    Where quotation marks have no partner and no cell is quoted, they are text. Raises UnreadableFileError or
    EmptyDataError.
    """
    form = _detected(path, given)
    form, sample, num_rows = _sampled(path, form, given, max_rows)
    if "decimal" not in given:
        form = form.model_copy(update={"decimal": detect_decimal(sample)})
    return form, sample, num_rows


def _sampled(
    path: Path, form: TableFormat, given: Mapping[str, str], max_rows: int
) -> tuple[TableFormat, pd.DataFrame, int]:
    try:
        return form, *sample_table(path, form, max_rows)
    except EmptyDataError:
        raise
    except UnreadableFileError as error:
        plain = form.model_copy(update={"quote": ""})
        if "quote" in given or table_kind(path) != "CSV":
            raise
        try:
            sample, num_rows = sample_table(path, plain, max_rows)
        except UnreadableFileError:
            raise error from None
        if any(sample[name].str.match(_QUOTED_CELL).any() for name in sample):
            raise
        return plain, sample, num_rows


def _detected(path: Path, given: Mapping[str, str]) -> TableFormat:
    form = parse(TableFormat, given, "overrides")
    if not path.is_file() or not path.stat().st_size:
        return form
    if table_kind(path) != "CSV":
        return form if "explode" in given else form.model_copy(update={"explode": _item_lists(path)})
    if "encoding" not in given:
        form = form.model_copy(update={"encoding": detect_encoding(path)})
    text = read_head_text(path, form.encoding)[1]
    refuse_server_log(path, text)
    if _ESCAPED.search(text):
        form = form.model_copy(update={"escape": "\\"})
    if "separator" not in given:
        separators = [mark for mark in _SEPARATORS if mark in text or mark == _SEPARATORS[0]]
        heads = [FileHead.read(path, form.model_copy(update={"separator": mark})) for mark in separators]
        best = max(heads, key=_fit)
        if (len(best.names) == 1 or not _fit(best)[0]) and _is_aligned(text):
            raise UnreadableFileError(
                f"{path}: has columns of fixed width, aligned by blanks, and cells that are empty or have blanks; "
                'wanted a separator between the cells\nwrite it again: python -c "import pandas; '
                f"pandas.read_fwf('{path}', dtype=str).to_csv('{path}.csv', index=False)\", without titles above the "
                "names of the columns; or say with --separator which separator it has"
            )
        form = form.model_copy(update={"separator": best.separator})
    return form


def _item_lists(path: Path) -> str | None:
    """The column of lists whose structs have an item id, else one that is called as lists of rows are."""
    try:
        found = list_columns(path)
    except (pa.ArrowException, OSError, ValueError):
        return None
    with_item = (name for name, fields in found.items() if any(map(ITEM_ID.fullmatch, fields)))
    return next(with_item, None) or next((name for name in found if name.rpartition(".")[2] in ROW_KEYS), None)


def _is_aligned(text: str) -> bool:
    """Whether the last lines have blanks at the same places, and something behind them, as columns of fixed width."""
    lines = [line for line in text.splitlines() if line.strip()][-_MAX_LINES:-1]
    width = max(map(len, lines), default=0)
    columns = list(zip(*(line.ljust(width) for line in lines), strict=True))
    is_filled = [any(map(str.strip, column)) for column in columns]
    num_starts = sum(not one and other for one, other in pairwise(is_filled))
    return len(lines) >= _MIN_ALIGNED and num_starts > 1


def _fit(head: FileHead) -> tuple[bool, int, float]:
    """How well a separator fits: most rows have as many cells as there are names, and these are many and no row."""
    num_fitting = sum(filled_width(row) <= len(head.names) <= len(row) for row in head.rows)
    share = num_fitting / max(len(head.rows), 1)
    named = head.num_skipped == 1 or not any(name.replace(".", "").isdigit() for name in head.names)
    if head.separator == " ":  # an empty cell, or one with a blank, would move the others
        words = all(re.search(r"[^\W\d_]", name) and not re.search(r"[,;|\t]", name) for name in head.names)
        named, share = named and words, share if all(filled_width(row) == len(head.names) for row in head.rows) else 0.0
    return named and share >= _MIN_SHARE, len(head.names), share
