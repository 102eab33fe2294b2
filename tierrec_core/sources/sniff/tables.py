"""The files that describe items or users of a log, known by the ids that they share with it."""

from dataclasses import dataclass
from pathlib import Path

from tierrec_core.sources.sniff import plan
from tierrec_core.sources.sniff.guesses import Guess, by_name, describes_items, name_score, overlap
from tierrec_core.sources.sniff.logs import LogFile, Overrides
from tierrec_core.sources.sniff.peek import Peek

_ATTRIBUTES = ("title", "category", "brand", "price")
_MIN_MATCH = 0.5


@dataclass(frozen=True)
class Table:
    """A catalogue or a table of users, and the columns of ours that it has."""

    peek: Peek
    columns: dict[str, Guess]


def find_tables(log: LogFile, others: list[Peek], given: Overrides) -> tuple[Table | None, Table | None]:
    """The catalogue and the table of users among the other files; else the log, if it describes its items."""
    best: dict[str, tuple[float, Table]] = {}
    for peek in others:
        for role, path in (("item", given.items_path), ("user", given.users_path)):
            column, score = _key(peek, log, role)
            score = score + 2 if path is not None and Path(path) == peek.path else score
            if score >= _MIN_MATCH and score > best.get(role, (0.0,))[0] and _prefers(peek, log, role, given):
                share = overlap(peek.sample[column], log.values(role))
                key = Guess(
                    f"{role} of {peek.path.name}",
                    column,
                    f"holds {share:.0%} of the ids in {log.peek.path.name}",
                )
                best[role] = score, Table(peek, {role: key})
    catalogue = best["item"][1] if "item" in best else _described_in(log)
    users = best["user"][1] if "user" in best else None
    if catalogue is not None and catalogue.peek is not log.peek:
        catalogue = Table(catalogue.peek, catalogue.columns | _attributes(catalogue))
    return catalogue, users


def _prefers(peek: Peek, log: LogFile, role: str, given: Overrides) -> bool:
    """Whether a file describes this role rather than the other one."""
    forced = {given.items_path: "item", given.users_path: "user"}.get(str(peek.path))
    other = "user" if role == "item" else "item"
    return forced == role if forced else _key(peek, log, role)[1] >= _key(peek, log, other)[1]


def _key(peek: Peek, log: LogFile, role: str) -> tuple[str, float]:
    """The column that identifies the role's rows, and how well: by its name and by the ids that it shares."""
    scores = {
        column: (name_score(role, column) + (column == log.roles[role].value)) / 2
        + overlap(peek.sample[column], log.values(role))
        for column in peek.columns
    }
    best = max(scores, key=lambda column: scores[column])
    return best, scores[best]


def _attributes(table: Table) -> dict[str, Guess]:
    found: dict[str, Guess] = {}
    for role in _ATTRIBUTES:
        taken = {guess.value for guess in [*table.columns.values(), *found.values()]}
        if guess := by_name(role, table.peek, taken):
            found[role] = guess
    return found


def _described_in(log: LogFile) -> Table | None:
    """The log as its own catalogue, if it repeats a title, category or brand with each item."""
    item = log.roles["item"]
    taken = {guess.value for guess in log.roles.values()}
    named = {role: by_name(role, log.peek, taken) for role in ("title", "category", "brand")}
    found = {
        role: guess
        for role, guess in named.items()
        if guess is not None and describes_items(log.peek, item.value, guess.value)
    }
    return Table(log.peek, {"item": item} | found) if found else None


def groupings(catalogue: Table | None, log: LogFile) -> list[str]:
    """Names of the ITEMS columns that group items."""
    if catalogue is None:
        return []
    ours = {role: guess.value for role, guess in catalogue.columns.items()}
    if catalogue.peek is log.peek:
        return [role for role in ("category", "brand") if role in ours]
    return plan.attributes(catalogue.peek.sample, ours)
