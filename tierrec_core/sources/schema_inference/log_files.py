"""The files that are logs: those with who, what and when."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import pandas as pd
from pydantic import Field

from tierrec_core.base.errors import MissingColumnError
from tierrec_core.settings import Params
from tierrec_core.sources.schema_inference import recurrence
from tierrec_core.sources.schema_inference.column_roles import (
    Guess,
    describe_content,
    find_by_name,
    find_event_column,
    find_time_column,
)
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.time_formats import TimeFormat, detect_time_format

_FLAGS = {"user": "--user-column", "item": "--item-column", "timestamp": "--time-column", "event": "--event-column"}
_FURTHER = ("session", "quantity", "value", "channel", "split")


class InferenceOverrides(Params):
    """What a person knows better; each wins over any guess. events maps their names of events to ours."""

    user_column: str | None = None
    item_column: str | None = None
    event_column: str | None = None
    time_column: str | None = None
    events: Mapping[str, str] = Field(default_factory=dict)
    separator: str | None = None
    timezone: str | None = None
    items_path: str | None = None
    users_path: str | None = None

    @property
    def columns(self) -> dict[str, str]:
        """The columns that a person gave, by role."""
        given = {
            "user": self.user_column,
            "item": self.item_column,
            "timestamp": self.time_column,
            "event": self.event_column,
        }
        return {role: column for role, column in given.items() if column is not None}


@dataclass(frozen=True)
class LogFile:
    """A file with who, what and when."""

    peek: FilePreview
    roles: dict[str, Guess]
    clock: TimeFormat

    def values(self, role: str) -> pd.Series:
        """The sampled values of the column that has this role."""
        return self.peek.sample[self.roles[role].value]

    def told_by(self, clock: TimeFormat) -> Self:
        """The same file, its times read by this clock."""
        time = self.roles["timestamp"]
        evidence = time.evidence.replace(self.clock.name, clock.name)
        return replace(self, clock=clock, roles=self.roles | {"timestamp": replace(time, evidence=evidence)})


def find_logs(peeks: list[FilePreview], given: InferenceOverrides) -> list[LogFile]:
    """The files with who, what and when that have the columns of the first such file.

    Raises MissingColumnError when there is none, saying what each file lacks and which flag sets it.
    """
    tried = [_log(peek, given) for peek in peeks]
    logs = [one for one in tried if isinstance(one, LogFile)]
    if not logs:
        raise MissingColumnError("\n".join(str(one) for one in tried))
    wanted = {guess.value for guess in logs[0].roles.values()}
    return _read_alike([log for log in logs if wanted <= set(log.peek.columns)])


def _read_alike(logs: list[LogFile]) -> list[LogFile]:
    """With one clock for times of one type, as ingest reads them: other days settle what one day leaves open."""
    columns = [log.values("timestamp") for log in logs]
    if len(logs) == 1 or len({column.dtype for column in columns}) > 1:
        return logs
    clock = detect_time_format(pd.concat(columns, ignore_index=True))
    return [log.told_by(clock) for log in logs]


def _log(peek: FilePreview, given: InferenceOverrides) -> LogFile | str:
    """The file as a log, or why it is none."""
    for role, column in given.columns.items():
        if column not in peek.columns:
            found = ", ".join(peek.columns)
            return f"{peek.path}: {_FLAGS[role]} {column} is not a column; wanted one of {found}"
    roles = {
        role: Guess(role, column, f"given; {describe_content(peek, column)}") for role, column in given.columns.items()
    }
    taken = {guess.value for guess in roles.values()}
    clock = _read_time(peek, roles, taken)
    if clock is None and "timestamp" in roles:
        given_column = roles["timestamp"]
        return (
            f"{peek.path}: {_FLAGS['timestamp']} {given_column.value}: {given_column.evidence}, which are no times; "
            "wanted dates, or numbers since 1970; give another column"
        )
    if clock is None:
        return _missing(peek, "timestamp", "a column of times")
    if "event" not in roles and (event := find_event_column(peek, taken)):
        roles["event"] = event
        taken.add(event.value)
    for role in ("user", "item", *_FURTHER):
        if role not in roles and (guess := find_by_name(role, peek, taken)):
            roles[role] = guess
            taken.add(guess.value)
    _tell_by_usage(peek, roles, clock, taken)
    for role, meaning in (("user", "who acted"), ("item", "what it was done to")):
        if role not in roles:
            return _missing(peek, role, f"a column that says {meaning}")
    return LogFile(peek, roles, clock)


def _tell_by_usage(peek: FilePreview, roles: dict[str, Guess], clock: TimeFormat, taken: set[str]) -> None:
    """Find user and item by how values recur where no name told them."""
    if "user" not in roles and (user := recurrence.find_user_column(peek, roles["timestamp"].value, clock, taken)):
        roles["user"] = user
        taken.add(user.value)
    if "item" not in roles and (item := recurrence.find_item_column(peek, taken)):
        roles["item"] = item
        taken.add(item.value)


def _read_time(peek: FilePreview, roles: dict[str, Guess], taken: set[str]) -> TimeFormat | None:
    """Find the column of times, unless it is given, and how it is written."""
    if "timestamp" in roles:
        return peek.clocks.get(roles["timestamp"].value)
    found = find_time_column(peek, taken)
    if found is None:
        return None
    roles["timestamp"], clock = found
    taken.add(roles["timestamp"].value)
    return clock


def _missing(peek: FilePreview, role: str, wanted: str) -> str:
    found = ", ".join(peek.columns)
    return f"{peek.path}: found columns {found}; wanted {wanted}; name it with {_FLAGS[role]}"
