"""Text of items, and its tokens without case and accents."""

import re

import pandas as pd
from sklearn.feature_extraction.text import strip_accents_unicode

_WORD = re.compile(r"[^\W_]+")
_LETTER = re.compile(r"[^\W\d_]")


def tokenize(text: str) -> list[str]:
    """Words and numbers of a text, in order."""
    tokens: list[str] = _WORD.findall(strip_accents_unicode(text.casefold()))
    return tokens


def text_columns(items: pd.DataFrame) -> list[str]:
    """Names of the ITEMS columns that may hold text, other than id and title."""
    kinds = pd.api.types.is_numeric_dtype, pd.api.types.is_datetime64_any_dtype
    return [
        name
        for name in map(str, items)
        if name not in ("item_id", "title") and not any(kind(items[name]) for kind in kinds)
    ]


def item_texts(items: pd.DataFrame) -> list[str]:
    """Title and attributes of each item of ITEMS, joined, [N].

    The id replaces a missing title. Attributes without a letter are codes and left out.
    """
    columns = [items["title"].fillna(items["item_id"]).astype(str)]
    columns += [items[name].astype(object).map(_text_or_empty) for name in text_columns(items)]
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


def _text_or_empty(value: object) -> str:
    return value if isinstance(value, str) and _LETTER.search(value) else ""
