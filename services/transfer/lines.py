"""A stream of bytes cut into lines at b"\\n" alone: texts of JSON hold other characters at which str would cut."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

MAX_LINE_BYTES = 1 << 20

Content: TypeAlias = bytes | Mapping[str, Any] | None
NumberedLine: TypeAlias = tuple[int, Content]


class Splitter:
    """Cuts chunks into lines, counted from 1; blank ones are counted and left out.

    What is longer than a mebibyte becomes None, so that a stream without ends of lines fills no memory.
    """

    def __init__(self) -> None:
        self._rest, self._is_too_long, self._number = bytearray(), False, 0

    def feed(self, chunk: bytes) -> list[NumberedLine]:
        """The lines that end in this chunk."""
        self._rest += chunk
        found: list[NumberedLine] = []
        if b"\n" in chunk:
            *ended, rest = bytes(self._rest).split(b"\n")
            found = [line for one in ended for line in self._numbered(one)]
            self._rest = bytearray(rest)
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest, self._is_too_long = bytearray(), True
        return found

    def end(self) -> list[NumberedLine]:
        """The last line, if nothing ended it."""
        return self.feed(b"\n") if self._rest or self._is_too_long else []

    def _numbered(self, line: bytes) -> Iterator[NumberedLine]:
        self._number += 1
        is_too_long = self._is_too_long or len(line) > MAX_LINE_BYTES
        self._is_too_long = False
        if is_too_long or line.strip():
            yield self._number, None if is_too_long else line
