"""Detects the encoding of a text file: by its validity, its script, and the letters of the languages of a code page."""

import codecs
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pandas as pd
from charset_normalizer import from_bytes

from tierrec_core.sources.file_head import opened, stated_encoding

_CHUNK, _MAX_LINES = 1 << 20, 2000
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
_WORDS = re.compile(r"(?:[^\W\d_]|[\u0e31-\u0e4e\u0591-\u05c7\u064b-\u0652])+")  # with vowel marks
_JAPANESE = ("HIRAGANA", "KATAKANA", "CJK")
_OTHER_SCRIPTS = {
    "gb18030": ("CJK",),
    "big5": ("CJK",),
    "cp932": _JAPANESE,
    "euc_jp": _JAPANESE,
    "cp949": ("HANGUL",),
    "cp1251": ("CYRILLIC",),
    "cp1253": ("GREEK",),
    "cp874": ("THAI",),
    "cp1255": ("HEBREW",),
    "cp1256": ("ARABIC",),
}  # the scripts of each encoding
_MIN_OF_SCRIPT, _OF_BEST, _OF_IDEOGRAPH = 0.5, 0.9, 0.8
_CENTRAL = "ąćęłńóśźż áčďéěíňóřšťúůýž áäčďéíĺľňóôŕšťúýž áéíóöőúüű ăâîşţ čćđšž"
_LANGUAGES = {
    "cp1252": "äöüß àâçèéêëîïôùûüœ áéíóúñü áàâãçéêíóôõú àèéìòù åäöé æøåé ëïéèöü áðéíóúýþæö",
    "cp1250": _CENTRAL,
    "iso8859_2": _CENTRAL,
    "cp1254": "çğıöşü",
    "cp1257": "ąčęėįšųūž āčēģīķļņšūž",
    "cp850": "äöüß àâçèéêëîïôùûü åäöé æøåé",
    "cp852": _CENTRAL,
}  # the letters of the languages of each code page
_DOS = ("cp850", "cp852")
_SYMBOLS = re.compile(
    r"[²³¹ªº’”…€™](?![^\W\d_])|(?<![^\W\d_])[¿¡£¥¼½¾‘“„€–—…]|(?<=[a-z])’(?=[a-z])"
)  # where they stand as symbols, not as letters


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
        if score == scores.get(encoding) and any(score) and other not in _DOS
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
    raw = b"\n".join([line for line in raw.split(b"\n") if not line.isascii()][:_MAX_LINES])
    shares = {page: _share_of_script(raw, page) for page in _OTHER_SCRIPTS}
    if (best := max(shares.values())) >= _MIN_OF_SCRIPT:
        likely = [page for page, share in shares.items() if share >= _OF_BEST * best]
        matches = from_bytes(raw, cp_isolation=likely)
        return {match.encoding: (1 - match.chaos, match.coherence) for match in matches} or {likely[0]: (best, 0.0)}
    text = _SYMBOLS.sub("", raw.decode("cp1252", "surrogateescape"))
    high = b"".join(_HIGH_BYTES.findall(text.encode("cp1252", "surrogateescape")))
    scores = dict[str, tuple[float, ...]]()
    for page, languages in _LANGUAGES.items():
        counts = Counter(high.decode(page, "ignore").lower())
        scores[page] = (max(sum(counts[letter] for letter in letters) for letters in languages.split()),)
    return dict(sorted(scores.items(), key=lambda entry: entry[1], reverse=True))


def _share_of_script(raw: bytes, page: str) -> float:
    """The share of the letters beyond ASCII whose words are of the page's script alone; 0 if it is not its text."""
    try:
        text = raw.decode(page)
    except UnicodeDecodeError:
        return 0.0
    others = sum(not letter.isascii() for letter in text)
    weights = {letter: _weight(letter, _OTHER_SCRIPTS[page]) for letter in set(text)}
    words = [[weights[letter] for letter in word] for word in _WORDS.findall(text) if not word.isascii()]
    return sum(sum(word) for word in words if all(word) and word != [1.0]) / max(others, 1)


def _weight(letter: str, scripts: tuple[str, ...]) -> float:
    """0 for a letter of another script; less for an ideograph, since most pairs of bytes are one, than for others."""
    name = unicodedata.name(letter, "")
    return name.startswith(scripts) * (_OF_IDEOGRAPH if name.startswith("CJK") else 1.0)


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
