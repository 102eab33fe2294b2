"""Exports and imports for both clients: where a stream is, and what is sent next; neither waits nor sends itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from services.client.errors import Pauses, ServiceError
from services.schemas import EventIn, ItemIn, Problem, UserIn
from services.transfer.lines import Content, Splitter
from services.transfer.records import (
    EventRow,
    Importable,
    Imported,
    ImpressionRow,
    ItemRow,
    Kind,
    LineError,
    TransferRow,
    UserRow,
)

R = TypeVar("R", bound=TransferRow)

_EXPORTED: Mapping[type[TransferRow], Kind] = {
    EventRow: "events",
    ItemRow: "items",
    UserRow: "users",
    ImpressionRow: "impressions",
}
_IMPORTED: Mapping[type[BaseModel], Importable] = {EventIn: "events", ItemIn: "items", UserIn: "users"}
_CHUNK_BYTES = 1 << 18
_CHUNK_LINES = 1000
_NUM_ERRORS = 10


class Export(Generic[R]):
    """Rows of one kind on their way. After a break it goes on behind the last row that came.

    cursor: of the last row; limit: how many may still come, None = all
    """

    def __init__(self, row: type[R], cursor: int, limit: int | None, retries: int) -> None:
        self._row, self.cursor, self.limit = row, cursor, limit
        self.pauses, self._splitter = Pauses(retries), Splitter()

    @property
    def is_done(self) -> bool:
        """Whether as many have come as were wanted."""
        return self.limit == 0

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """What is sent to get the rest, of which nothing has come yet."""
        self._splitter = Splitter()
        limit = {} if self.limit is None else {"limit": self.limit}
        path = f"/export/{_EXPORTED[self._row]}"
        return http.build_request("GET", path, params={"cursor": self.cursor, **limit})

    def feed(self, chunk: bytes) -> Iterator[R]:
        """The rows that are whole with this chunk. Raises ServiceError for what is no row."""
        for _, line in self._splitter.feed(chunk):
            yield self._take(line)

    def _take(self, line: Content) -> R:
        try:
            row = self._row.model_validate_json(line if isinstance(line, bytes) else b"")
        except ValidationError as error:
            problem = Problem(error=f"export: the row behind cursor {self.cursor} is no {self._row.__name__}")
            raise ServiceError(200, problem) from error
        self.cursor = row.cursor
        if self.limit is not None:
            self.limit -= 1
        self.pauses.reset()
        return row


@dataclass
class Import:
    """Records of one kind, collected into chunks that are each a request; and what came of those that were sent."""

    kind: Importable

    def __post_init__(self) -> None:
        self._lines: list[bytes] = []
        self._num_bytes = 0
        self.answer = Imported()

    @classmethod
    def of(cls, model: type[BaseModel]) -> "Import":
        """An import of EventIn, ItemIn or UserIn."""
        return cls(next(kind for base, kind in _IMPORTED.items() if issubclass(model, base)))

    def add(self, record: BaseModel) -> bytes | None:
        """Take a record; the chunk that is full now, if one is."""
        line = record.model_dump_json(exclude_unset=True).encode() + b"\n"
        full = self._num_bytes + len(line) > _CHUNK_BYTES or len(self._lines) == _CHUNK_LINES
        chunk = self.rest() if full else None
        self._lines.append(line)
        self._num_bytes += len(line)
        return chunk

    def rest(self) -> bytes | None:
        """What has been taken since the last chunk, if anything."""
        chunk = b"".join(self._lines) or None
        self._lines, self._num_bytes = [], 0
        return chunk

    def sent(self, part: Imported) -> None:
        """Add what came of a chunk; its lines are counted from the first record of all."""
        total = self.answer
        errors = [LineError(line=total.lines + one.line, error=one.error) for one in part.first_errors]
        self.answer = Imported(
            accepted=total.accepted + part.accepted,
            duplicates=total.duplicates + part.duplicates,
            rejected=total.rejected + part.rejected,
            first_errors=[*total.first_errors, *errors][:_NUM_ERRORS],
            lines=total.lines + part.lines,
        )
