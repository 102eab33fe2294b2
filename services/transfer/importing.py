"""An import under way: lines are checked like posts, kept in batches, and a bad one does not stop the rest."""

from collections.abc import Mapping, Sequence
from itertools import islice

from pydantic import ValidationError

from services.schemas import Body
from services.transfer.keeping import Keep
from services.transfer.lines import MAX_LINE_BYTES, Content, NumberedLine
from services.transfer.records import EventRow, Importable, Imported, ItemRow, LineError, UserRow
from tierrec_core.base.errors import DataError

BATCH_LINES = 1000
_NUM_ERRORS = 10
_MODELS: Mapping[Importable, type[Body]] = {"events": EventRow, "items": ItemRow, "users": UserRow}


class ImportSession:
    """Takes lines of one kind and knows what came of them so far.

    keep: stores a batch in one transaction
    strict: the first bad line stops the import; those before it are kept
    so_far: what came of the lines before, which are passed over when they come again
    """

    def __init__(self, kind: Importable, keep: Keep, *, strict: bool = False, so_far: Imported | None = None) -> None:
        self._model, self._keep, self._strict = _MODELS[kind], keep, strict
        self.answer = so_far or Imported()

    def take(self, lines: Sequence[NumberedLine]) -> None:
        """Check and keep lines in order, a thousand at a time. Raises StoreError; `answer` is right then, too."""
        rest = iter([line for line in lines if line[0] > self.answer.lines])
        while not self.answer.stopped and (batch := list(islice(rest, BATCH_LINES))):
            tried = _Batch(self._model, self._keep, self._strict)
            tried.take(batch)
            self._add(tried, batch[-1][0])

    def stop(self, reason: str) -> None:
        """Take no more lines."""
        self.answer = self.answer.model_copy(update={"stopped": reason})

    def _add(self, batch: "_Batch", last_line: int) -> None:
        errors = sorted(batch.errors, key=lambda one: one.line)
        answer, lines, stopped = self.answer, last_line, None
        if errors and self._strict:
            lines = errors[0].line - 1
            stopped = f"line {errors[0].line}: {errors[0].error}"
        self.answer = Imported(
            accepted=answer.accepted + batch.accepted,
            duplicates=answer.duplicates + batch.duplicates,
            rejected=answer.rejected + len(errors),
            first_errors=[*answer.first_errors, *errors][:_NUM_ERRORS],
            lines=lines,
            stopped=stopped,
        )


class _Batch:
    """Lines that are kept together, unless the store refuses one: then halves are, until that one is found."""

    def __init__(self, model: type[Body], keep: Keep, strict: bool) -> None:
        self._model, self._keep, self._strict = model, keep, strict
        self.accepted = self.duplicates = 0
        self.errors: list[LineError] = []

    def take(self, lines: Sequence[NumberedLine]) -> None:
        good, bad = [], []
        for number, content in lines:
            try:
                good.append((number, self._read(content)))
            except (ValidationError, DataError) as error:
                bad.append(LineError(line=number, error=_reason(error)))
            if bad and self._strict:
                break
        self._store(good)
        self.errors += [] if self._strict and self.errors else bad

    def _read(self, content: Content) -> Body:
        if content is None:
            raise DataError(f"is longer than {MAX_LINE_BYTES} bytes; leave something out")
        if isinstance(content, bytes):
            return self._model.model_validate_json(content)
        return self._model.model_validate(content)

    def _store(self, good: Sequence[tuple[int, Body]]) -> None:
        if not good or (self._strict and self.errors):
            return
        try:
            found = self._keep([record for _, record in good])
        except DataError as error:
            if len(good) == 1:
                self.errors.append(LineError(line=good[0][0], error=str(error)))
                return
            self._store(good[: len(good) // 2])
            self._store(good[len(good) // 2 :])
        else:
            self.accepted += found.accepted
            self.duplicates += found.duplicates


def _reason(error: ValidationError | DataError) -> str:
    """Which field is wrong, and how; never what it held, which may be about a person."""
    if isinstance(error, DataError):
        return str(error)
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
