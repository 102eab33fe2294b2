"""Imports lines of JSON or rows: validates them as the API does, stores them in batches, and reports invalid ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

from pydantic import ValidationError

from services.catalogue.columns import FIELD_TYPES, check_rows
from services.schemas import EventIn, ItemIn, UserIn
from services.store import Acknowledged, NewEvent, PostedItem, PostedUser, Store
from services.transfer.records import EventRow, Importable, Imported, ItemRow, LineError, TransferRow, UserRow
from tierrec_core.base.errors import DataError

Content: TypeAlias = bytes | Mapping[str, Any] | None  # None: longer than MAX_LINE_BYTES
NumberedLine: TypeAlias = tuple[int, Content]
BatchWriter: TypeAlias = Callable[[Sequence[Any]], Acknowledged]

BATCH_LINES = 1000
MAX_LINE_BYTES = 1 << 20
_MAX_ERRORS = 10
_MODELS: Mapping[Importable, type[TransferRow]] = {"events": EventRow, "items": ItemRow, "users": UserRow}
_ITEM_FIELDS = ("title", "category", "brand", "price", "stock", "on_promotion")
_ITEM_TIMES = ("available_from", "available_until")


class LineSplitter:
    r"""Splits chunks of bytes into lines at b"\n" alone, numbered from 1; blank lines are counted but left out.

    A line longer than a mebibyte becomes None, so that a stream without line ends does not fill the memory.
    """

    def __init__(self) -> None:
        self._rest, self._is_too_long, self._number = bytearray(), False, 0

    def feed(self, chunk: bytes) -> list[NumberedLine]:
        """The lines that end in this chunk."""
        self._rest += chunk
        lines: list[NumberedLine] = []
        if b"\n" in chunk:
            *ended, rest = bytes(self._rest).split(b"\n")
            lines = [numbered for line in ended for numbered in self._numbered(line)]
            self._rest = bytearray(rest)
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest, self._is_too_long = bytearray(), True
        return lines

    def end(self) -> list[NumberedLine]:
        """The last line, if it has no line end."""
        return self.feed(b"\n") if self._rest or self._is_too_long else []

    def _numbered(self, line: bytes) -> Iterator[NumberedLine]:
        self._number += 1
        is_too_long = self._is_too_long or len(line) > MAX_LINE_BYTES
        self._is_too_long = False
        if is_too_long or line.strip():
            yield self._number, None if is_too_long else line


class ImportSession:
    """Imports lines of one kind and counts the results.

    write: stores a batch in one transaction
    strict: the first invalid line stops the import; the lines before it are stored, and if its key has another event
        those after it in its batch too
    resume_from: the result so far; its lines are skipped when they come again
    """

    def __init__(
        self, kind: Importable, write: BatchWriter, *, strict: bool = False, resume_from: Imported | None = None
    ) -> None:
        self._model, self._write, self._strict = _MODELS[kind], write, strict
        self._num_deleted, self.result = 0, resume_from or Imported()  # deletions of one batch

    def add_lines(self, lines: Sequence[NumberedLine]) -> None:
        """Validate and store lines in order, in batches. Raises StoreError; `result` is correct then as well."""
        remaining = iter([line for line in lines if line[0] > self.result.lines])
        while not self.result.stopped and (batch := list(islice(remaining, BATCH_LINES))):
            self._add_batch(batch)

    def stop(self, reason: str) -> None:
        """Accept no more lines."""
        self.result = self.result.model_copy(update={"stopped": reason})

    def _add_batch(self, lines: Sequence[NumberedLine]) -> None:
        valid: list[tuple[int, TransferRow]] = []
        errors: list[LineError] = []
        for number, content in lines:
            try:
                valid.append((number, self._validate(content)))
            except (ValidationError, DataError) as error:
                errors.append(LineError(line=number, error=_reason(error)))
                if self._strict:
                    break
        self._num_deleted = 0
        added, refused = self._store(valid)
        errors = refused if self._strict and refused else sorted([*refused, *errors], key=lambda error: error.line)
        num_lines, stopped, result = lines[-1][0], None, self.result
        if errors and self._strict:
            num_lines, stopped = errors[0].line - 1, f"line {errors[0].line}: {errors[0].error}"
        self.result = Imported(
            accepted=result.accepted + added.accepted,
            duplicates=result.duplicates + added.duplicates,
            deleted=result.deleted + self._num_deleted,
            rejected=result.rejected + len(errors),
            first_errors=[*result.first_errors, *errors][:_MAX_ERRORS],
            lines=num_lines,
            stopped=stopped,
        )

    def _validate(self, content: Content) -> TransferRow:
        if content is None:
            raise DataError(f"is longer than {MAX_LINE_BYTES} bytes; shorten it")
        if isinstance(content, bytes):
            return self._model.model_validate_json(content)
        return self._model.model_validate(content)

    def _store(self, records: Sequence[tuple[int, TransferRow]]) -> tuple[Acknowledged, list[LineError]]:
        """Store records in one transaction; if the store refuses one, bisect to store all others."""
        if not records:
            return Acknowledged(0, 0), []
        try:
            added = self._write([record for _, record in records])
            self._num_deleted += sum(record.is_deletion for _, record in records)
            return added, [LineError(line=records[error.index][0], error=error.reason) for error in added.errors]
        except DataError as error:
            if len(records) == 1:
                refused = LineError(line=records[0][0], error=str(error))
                return Acknowledged(0, 0), [refused]
        middle = len(records) // 2
        first, errors = self._store(records[:middle])
        if errors and self._strict:
            return first, errors
        second, more = self._store(records[middle:])
        added = Acknowledged(accepted=first.accepted + second.accepted, duplicates=first.duplicates + second.duplicates)
        return added, errors + more


def add_events(store: Store, events: Sequence[EventIn]) -> Acknowledged:
    """Store events in one transaction; one without a timestamp happened now."""
    return store.add_events([NewEvent(**event.model_dump()) for event in events])


def put_items(store: Store, items: Sequence[ItemIn]) -> Acknowledged:
    """Merge items into those posted before, in one transaction. Raises DataError for a value of a wrong type."""
    posted = [PostedItem(item.item_id, item_attributes(item)) for item in items]
    for item in posted:  # the types of other attributes depend on the catalogue
        attributes = item.attributes or {}
        fields = {name: attributes[name] for name in FIELD_TYPES.keys() & attributes.keys()}
        check_rows([{**fields, "item_id": item.item_id}])
    store.put_items(posted, merge=True)
    return Acknowledged(len(items), 0)


def put_users(store: Store, users: Sequence[UserIn]) -> Acknowledged:
    """Merge users into those posted before, in one transaction."""
    store.put_users([PostedUser(user.user_id, user.attributes) for user in users], merge=True)
    return Acknowledged(len(users), 0)


_WRITERS: Mapping[Importable, Callable[..., Acknowledged]] = {
    "events": add_events,
    "items": put_items,
    "users": put_users,
}


def batch_writer(store: Store, kind: Importable) -> BatchWriter:
    """A function that stores a batch in one transaction. It raises DataError for values that cannot be stored."""
    return partial(_WRITERS[kind], store)


def item_attributes(item: ItemIn) -> dict[str, Any] | None:
    """The given fields of an item as JSON values, together with its further attributes; None if it is deleted."""
    if isinstance(item, ItemRow) and item.is_deletion:
        return None
    values = item.model_dump(exclude_unset=True)
    fields = {name: values[name] for name in _ITEM_FIELDS if name in values}
    times = {name: values[name] and values[name].isoformat() for name in _ITEM_TIMES if name in values}
    return {**(values.get("attributes") or {}), **fields, **times}


def _reason(error: ValidationError | DataError) -> str:
    """The invalid field and why; never its value, which may be personal data."""
    if isinstance(error, DataError):
        return str(error)
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
