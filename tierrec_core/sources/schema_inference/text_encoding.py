"""Detects the encoding of a text file: by its validity, its script, and the letters of the languages of a code page."""

import codecs
import re
from collections import Counter
from pathlib import Path

import pandas as pd
from charset_normalizer import from_bytes

from tierrec_core.sources.file_head import opened, stated_encoding

_CHUNK = 1 << 20
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
_OTHER_SCRIPTS = ["gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1251", "cp1253", "cp874", "cp1255", "cp1256"]
_CENTRAL = "ąćęłńóśźż áčďéěíňóřšťúůýž áäčďéíĺľňóôŕšťúýž áéíóöőúüű ăâîşţ čćđšž"
_LANGUAGES = {
    "cp1252": "äöüß àâçèéêëîïôùûüœ áéíóúñü áàâãçéêíóôõú àèéìòù åäöé æøåé ëïéèöü áðéíóúýþæö",
    "cp1250": _CENTRAL,
    "iso8859_2": _CENTRAL,
    "cp1254": "çğıöşü",
    "cp1257": "ąčęėįšųūž āčēģīķļņšūž",
}  # the letters of the languages of each code page
_SYMBOLS = re.compile(r"[²³¹ªº](?![^\W\d_])|(?<![^\W\d_])[¿¡£¥¼½¾]")  # where they stand as symbols, not as letters


def detect_encoding(path: Path) -> str:
    """UTF-8 where the whole file is; else what its bytes above 127 look like."""
    if (stated := stated_encoding(path)) is not None:
        return "utf-8" if stated == "utf-8-sig" else stated
    with opened(path) as stream:
        head = bytes(stream.read(_CHUNK))
    if head.count(0) > len(head) / 10:
        return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
    if _decodes(path, "utf-8"):
        return "utf-8"
    head = head[: head.rfind(b"\n") + 1] or head  # no part of a character at its end
    found = next(iter(_ranked(head)), "cp1252")
    found = _greek(head) if found == "cp1253" else found
    return next((encoding for encoding in (found, "cp1252") if _decodes(path, encoding)), "latin-1")


def other_readings(frame: pd.DataFrame, encoding: str) -> dict[str, tuple[str, str]]:
    """A cell as it was read and as it would be by each encoding that fits all cells as well."""
    if encoding not in (*_OTHER_SCRIPTS, *_LANGUAGES):
        return {}
    texts = [cell for name in frame for cell in frame[name].dropna().unique() if not cell.isascii()]
    scores = _ranked("\n".join(texts).encode(encoding))
    readings = {
        other: _first_difference(texts, encoding, other)
        for other, score in scores.items()
        if score == scores.get(encoding) and any(score)
    }
    return {other: pair for other, pair in readings.items() if pair is not None}


def _first_difference(texts: list[str], encoding: str, other: str) -> tuple[str, str] | None:
    pairs = ((text, text.encode(encoding).decode(other, "replace")) for text in texts)
    return next((pair for pair in pairs if len(set(pair)) > 1), None)


def _greek(head: bytes) -> str:
    """The Greek code page by which more characters are letters; they differ in a capital letter."""
    return max(("cp1253", "iso8859_7"), key=lambda page: sum(map(str.isalpha, head.decode(page, "ignore"))))


def _ranked(raw: bytes) -> dict[str, tuple[float, ...]]:
    """How well each encoding that is no UTF fits, the best first."""
    runs = _HIGH_BYTES.findall(raw)
    if sum(len(run) > 1 for run in runs) > len(runs) / 2:  # a script without Latin letters
        matches = from_bytes(raw, cp_isolation=_OTHER_SCRIPTS)
        return {match.encoding: (1 - match.chaos, match.coherence) for match in matches}
    text = _SYMBOLS.sub("", raw.decode("cp1252", "surrogateescape"))
    high = b"".join(_HIGH_BYTES.findall(text.encode("cp1252", "surrogateescape")))
    scores = dict[str, tuple[float, ...]]()
    for page, languages in _LANGUAGES.items():
        counts = Counter(high.decode(page, "ignore").lower())
        scores[page] = (max(sum(counts[letter] for letter in letters) for letters in languages.split()),)
    return dict(sorted(scores.items(), key=lambda entry: entry[1], reverse=True))


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with opened(path) as stream:
            while chunk := stream.read(_CHUNK):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
