"""Ids as text in one form, so that those of the log, its tables, the feedback and requests are equal."""

import re

import pandas as pd

_BLANKS = "\\s\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_INVISIBLE = "\xad\u200b-\u200f\u202a-\u202e\u2060\ufeff"
_IRREGULAR = f"[@{_BLANKS}{_INVISIBLE}]"
_PATTERN, _HIDDEN = re.compile(_IRREGULAR), re.compile(f"[{_INVISIBLE}]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^\W\d_]{2,}")


def normal_id(text: str) -> str:
    """The id with single blanks and without invisible characters; an e-mail address in lower case."""
    if not _PATTERN.search(text):
        return text
    plain = " ".join(_HIDDEN.sub("", text).split())
    return plain.casefold() if _EMAIL.fullmatch(plain) else plain


def text_ids(ids: pd.Series) -> pd.Series:
    """Ids as text in their normal form; 12.0 becomes 12."""
    if pd.api.types.is_float_dtype(ids):
        texts = [f"{value:.0f}" if value % 1 == 0 else str(value) for value in ids.dropna()]
        return pd.Series(texts, ids.index[ids.notna()], "string").reindex(ids.index)
    plain = ids.astype("string").str.replace(r"^(\d+)\.0$", r"\1", regex=True)
    irregular = plain[plain.str.contains(_IRREGULAR, regex=True).fillna(False)].unique()
    if not len(irregular):
        return plain
    normal = pd.Series({text: normal_id(text) for text in irregular}, dtype="string")
    return plain.map(normal).astype("string").fillna(plain)
