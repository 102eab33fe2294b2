"""How a user id is found in bytes, texts and columns."""

import html
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO
from urllib.parse import quote

import pandas as pd

from tierrec_core.base.ids import normal_id, text_ids

_MIN_LENGTH, _MIN_DIGITS = 6, 8  # of ids that are no common word or number
_WORD = rb"0-9A-Za-z_\x80-\xff"
_CONTEXT = 8  # bytes around a match that decide whether it is a whole word
_CHUNK_BYTES = 1 << 22
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


@dataclass(frozen=True)
class UserPattern:
    """One user's id in its plain form.

    columns: names of columns and JSON keys that hold user ids, in lower case
    """

    user_id: str
    columns: frozenset[str]

    @property
    def is_distinctive(self) -> bool:
        """Whether the id means this user wherever it stands; a short or numeric id does so in columns of users only."""
        return len(self.user_id) >= (_MIN_DIGITS if self.user_id.isdigit() else _MIN_LENGTH)

    def is_id(self, text: str) -> bool:
        """Whether a value of a text is the id, as ingest reads it."""
        if len(text) < len(self.user_id):
            return False
        plain = normal_id(text.strip())
        return plain == self.user_id or (self.user_id.isdigit() and plain == f"{self.user_id}.0")

    def is_in(self, values: pd.Series) -> bool:
        """Whether one of a column's values is the id, as ingest reads it."""
        return bool(text_ids(values).eq(self.user_id).fillna(False).any())

    def holds(self, text: str) -> bool:
        """Whether the id is a whole word of the text."""
        return self._words.search(self._lower(text.encode("utf-8", "surrogatepass"))) is not None

    def is_session(self, text: str) -> bool:
        """Whether it is a session id that ingest or prepare has made of the user's id."""
        return re.match(rf"{re.escape(self.user_id)}(-visit-\d+$| \d{{4}}-\d\d-\d\d )", text) is not None

    def is_word_of(self, stream: BinaryIO) -> bool:
        """Whether the id is a whole word of a text, in any encoding and with any escapes of JSON, HTML or URLs."""
        return self._search(stream, self._words)

    def is_part_of(self, stream: BinaryIO) -> bool:
        """Whether the bytes of the id are anywhere, as in formats that put nothing between their values."""
        return self._search(stream, self._anywhere)

    @cached_property
    def _forms(self) -> tuple[bytes, ...]:
        """The id as UTF-8, plain and escaped."""
        escaped = (json.dumps(self.user_id)[1:-1], json.dumps(self.user_id, ensure_ascii=False)[1:-1])
        texts = [self.user_id, *escaped, html.escape(self.user_id), quote(self.user_id, safe=""), quote(self.user_id)]
        texts += [self.user_id.upper()] if "@" in self.user_id else []  # for letters that are not ASCII
        return tuple(dict.fromkeys(self._lower(text.encode("utf-8", "surrogatepass")) for text in texts))

    @cached_property
    def _wide(self) -> tuple[bytes, ...]:
        return tuple(self._lower(self.user_id.encode(encoding, "surrogatepass")) for encoding in _WIDE)

    @cached_property
    def _words(self) -> re.Pattern[bytes]:
        before, after = rb"(?<![%b])" % _WORD, rb"(?![%b])" % _WORD
        if "@" in self.user_id:
            before, after = rb"(?<![%b.+-])" % _WORD, rb"(?!\.?[%b])" % _WORD
        if self.user_id.isdigit():
            before, after = before + rb"(?<![0-9]\.)", rb"(?![%b])(?!\.(?!0(?![0-9]))[0-9])" % _WORD
        words = before + rb"(?:" + b"|".join(map(re.escape, self._forms)) + rb")" + after
        little, big = map(re.escape, self._wide[:2])
        words += rb"|(?<![0-9A-Za-z_]\x00)" + little + rb"(?![0-9A-Za-z_]\x00)"
        words += rb"|(?<!\x00[0-9A-Za-z_])" + big + rb"(?!\x00[0-9A-Za-z_])"
        return re.compile(words)

    @cached_property
    def _anywhere(self) -> re.Pattern[bytes]:
        return re.compile(b"|".join(map(re.escape, (*self._forms, *self._wide))))

    @cached_property
    def _longest(self) -> int:
        return max(map(len, (*self._forms, *self._wide)))

    def _lower(self, content: bytes) -> bytes:
        """ASCII letters in lower case for e-mail addresses, whose case means nothing."""
        return content.lower() if "@" in self.user_id else content

    def _search(self, stream: BinaryIO, pattern: re.Pattern[bytes]) -> bool:
        """Search chunk by chunk; what is kept of a chunk is as long as a match with its context."""
        buffer, start, needles = b"", 0, (*self._forms, *self._wide)
        while chunk := stream.read(_CHUNK_BYTES):
            buffer += self._lower(chunk)
            if any(needle in buffer for needle in needles):  # much faster than the pattern
                limit = len(buffer) - _CONTEXT
                if any(match.end() <= limit for match in pattern.finditer(buffer, start)):
                    return True
            kept = self._longest + 2 * _CONTEXT
            start = _CONTEXT if len(buffer) > kept else start  # what stands before it was judged with its context
            buffer = buffer[-kept:]
        return pattern.search(buffer, start) is not None
