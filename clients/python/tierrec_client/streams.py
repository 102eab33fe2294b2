"""The state of an export or an import, for both clients, which send its requests."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

import httpx
from pydantic import ValidationError

from tierrec_client.base import Model
from tierrec_client.calls import ImportKind
from tierrec_client.errors import Backoff, ServiceError
from tierrec_client.models import EventIn, Imported, ItemIn, LineError, Problem, UserIn
from tierrec_client.rows import EventRow, ExportRow, ImpressionRow, ItemRow, UserRow

R = TypeVar("R", bound=ExportRow)

_EXPORT_KINDS: Mapping[type[ExportRow], str] = {
    EventRow: "events",
    ItemRow: "items",
    UserRow: "users",
    ImpressionRow: "impressions",
}
_IMPORT_KINDS: Mapping[type[Model], ImportKind] = {EventIn: "events", ItemIn: "items", UserIn: "users"}
_BATCH_BYTES = 1 << 18
_BATCH_LINES = 1000
_NUM_ERRORS = 10


class ExportStream(Generic[R]):
    """Rows of one kind; after a broken connection it continues after the last row received.

    cursor: of the last row; limit: number of rows that remain, None = all
    """

    def __init__(self, row: type[R], cursor: int, limit: int | None, retries: int) -> None:
        self._row, self.cursor, self.limit = row, cursor, limit
        self.backoff, self._incomplete_line = Backoff(retries), b""

    @property
    def is_done(self) -> bool:
        """Whether `limit` rows were received."""
        return self.limit == 0

    def build_request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Build the request for the rows that have not been received."""
        self._incomplete_line = b""
        limit = {} if self.limit is None else {"limit": self.limit}
        params = {"cursor": self.cursor, **limit}
        return http.build_request("GET", f"/export/{_EXPORT_KINDS[self._row]}", params=params)

    def feed(self, chunk: bytes) -> Iterator[R]:
        """Yield the rows that this chunk completes. Raises ServiceError for a line that is not a row.

        Only b"\\n" ends a line: JSON texts may hold other characters at which str.splitlines would cut.
        """
        *lines, self._incomplete_line = (self._incomplete_line + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield self._parse(line)

    def _parse(self, line: bytes) -> R:
        try:
            row = self._row.model_validate_json(line)
        except ValidationError as error:
            message = f"export: the line after cursor {self.cursor} is not a valid {self._row.__name__}"
            raise ServiceError(httpx.codes.OK, Problem(error=message)) from error
        self.cursor = row.cursor
        if self.limit is not None:
            self.limit -= 1
        self.backoff.reset()
        return row


class ImportBatches:
    """Collects records of a model (EventIn, ItemIn, UserIn) into batches, and adds up the answers to them."""

    def __init__(self, model: type[Model]) -> None:
        self.kind = next(kind for base, kind in _IMPORT_KINDS.items() if issubclass(model, base))
        self.total = Imported()
        self._lines: list[bytes] = []
        self._num_bytes = 0

    def add(self, record: Model) -> bytes | None:
        """Add a record; return the batch before it if that is full."""
        line = record.model_dump_json(exclude_unset=True).encode() + b"\n"
        is_full = self._num_bytes + len(line) > _BATCH_BYTES or len(self._lines) == _BATCH_LINES
        batch = self.flush() if is_full else None
        self._lines.append(line)
        self._num_bytes += len(line)
        return batch

    def flush(self) -> bytes | None:
        """Return the records added since the last batch, None when there are none."""
        batch = b"".join(self._lines) or None
        self._lines, self._num_bytes = [], 0
        return batch

    def add_answer(self, answer: Imported) -> None:
        """Add the counts of a batch; line numbers count from the first record of the import."""
        total = self.total
        errors = [LineError(line=total.lines + error.line, error=error.error) for error in answer.first_errors]
        self.total = Imported(
            accepted=total.accepted + answer.accepted,
            duplicates=total.duplicates + answer.duplicates,
            deleted=total.deleted + answer.deleted,
            rejected=total.rejected + answer.rejected,
            first_errors=[*total.first_errors, *errors][:_NUM_ERRORS],
            lines=total.lines + answer.lines,
        )
