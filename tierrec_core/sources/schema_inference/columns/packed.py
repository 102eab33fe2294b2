"""Recognises cells with several values: lists in brackets, texts of JSON, and fields that are joined by marks."""

import pandas as pd

from tierrec_core.sources.schema_inference.preview import FilePreview

_BRACKETED = r"\[.*\]|\{.*\}"
_MIN_BRACKETED, _MIN_JOINED, _MIN_MARKS = 0.1, 0.5, 2
_MARKS = (r";", r"\|", r"\^", r"::")
_CODES = r"[^\s\d]+\d\S*( [^\s\d]+\d\S*)+"  # as MIND joins N31-1 and N7-0
_MAX_TEXT = 60


def packed_cell(cells: pd.Series, *, joined: bool = True) -> str:
    """An example where many cells have several values, as in [53, 49] or ;SKU25;1;37.25; empty for other columns.

    joined: whether fields that are joined by marks count, too, if their number varies or some are numbers
    """
    texts = cells.dropna().astype("string")
    found = texts[texts.str.fullmatch(_BRACKETED).to_numpy(dtype=bool)]
    if len(texts) and len(found) >= _MIN_BRACKETED * len(texts):
        return str(found.iloc[0])[:_MAX_TEXT]
    for mark in _MARKS if joined else ():
        counts = texts.str.count(mark)
        found = texts[(counts >= _MIN_MARKS).to_numpy(dtype=bool)]
        is_varied = counts.nunique() > 1 or found.str.contains(rf"{mark}\d+(?:[.,]\d+)?(?:{mark}|$)").all()
        if len(texts) and len(found) >= _MIN_JOINED * len(texts) and is_varied:
            return str(found.iloc[0])[:_MAX_TEXT]
    found = texts[texts.str.fullmatch(_CODES).to_numpy(dtype=bool)]
    if joined and len(texts) and len(found) >= _MIN_JOINED * len(texts) and found.str.count(" ").nunique() > 1:
        return str(found.iloc[0])[:_MAX_TEXT]
    return ""


def describe_packed(preview: FilePreview) -> str:
    """The columns of lists and of JSON, with what to do, as the end of an error; empty where there are none."""
    cells = {name: packed_cell(preview.sample[name], joined=False) for name in preview.columns}
    packed = [f"{name} has cells such as {cell!r}" for name, cell in cells.items() if cell]
    return f"; {', '.join(packed)}: write a row for each item in them, or a column for each field" if packed else ""
