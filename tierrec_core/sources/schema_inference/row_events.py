"""What the rows of a file without a column of events are, by the names of the file and of its columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tierrec_core.base.contracts import EVENT_NAMES, Event
from tierrec_core.base.errors import DataError
from tierrec_core.sources.numbers import parse_numbers
from tierrec_core.sources.schema_inference.columns.names import header_words, is_rating_name
from tierrec_core.sources.schema_inference.columns.roles import Guess
from tierrec_core.sources.schema_inference.event_names import IGNORE, event_word
from tierrec_core.sources.schema_inference.file_roles import LogFile
from tierrec_core.sources.schema_inference.row_kinds.flags import refuse_flags

_OF_OTHERS = (IGNORE, Event.REDEEM)  # a search_id or a coupon_id stands beside any event
_VAGUE = ("show", "visit", "look", "detail", "seen")  # last_seen is of the user, show_id of a series
_BY_ORDER = ("session", "quantity", "value")


def default_events(logs: Sequence[LogFile], given: Event | None) -> list[Guess]:
    """The settings default_event and file_events of logs without a column of events; none where all have one.

    Raises DataError where columns say by numbers or truth values what happened.
    """
    lacking = [log for log in logs if "event" not in log.roles]
    if given is not None:
        return [Guess("default_event", str(given), "given")] if lacking else []
    for log in lacking:
        refuse_flags(log)
    found = {log.preview.path: _row_event(log) for log in lacking}
    if not found:
        return []
    event, evidence = next(iter(found.values()))
    kinds = {path: other for path, (other, _) in found.items()}
    others = {_pattern(path, kinds): (other, why) for path, (other, why) in found.items() if other != event}
    return [
        Guess("default_event", event, f"no column of events; {evidence}"),
        *(
            Guess(f"file_events {pattern}", other, f"no column of events; {why}")
            for pattern, (other, why) in others.items()
        ),
    ]


def _row_event(log: LogFile) -> tuple[str, str]:
    """The event of each row, and why. Raises DataError where the names of the file and its columns contradict."""
    path = log.preview.path
    if "value" in log.roles and is_rating_name(value := log.roles["value"].value):
        numbers, _ = parse_numbers(log.values("value").dropna(), log.preview.form.decimal)
        return str(Event.RATING), f"{value} has ratings of {np.nanmin(numbers):g} to {np.nanmax(numbers):g}"
    orders = [log.roles[role].value for role in _BY_ORDER if role in log.roles]
    named = {
        event: f"{word!r} is in the name {name}"
        for name, (event, word) in _event_words(log).items()
        if event and (name == path.name or not orders)
    }
    if len(named) > 1 or IGNORE in named:
        raise DataError(
            f"{path}: there is no column of events, and {', but '.join(named.values())}; wanted one kind of events\n"
            f"say with --default-event which of {', '.join(EVENT_NAMES)} the rows are, or leave the file out"
        )
    if named:
        return named.popitem()
    if orders:
        return str(Event.PURCHASE), f"{', '.join(orders)} are those of purchases"
    return str(Event.PURCHASE), "nothing says what the rows are, which are taken as purchases"


def _event_words(log: LogFile) -> dict[str, tuple[str, str]]:
    """The events, with their words, in the names of the file and of its columns of times and other filled ids."""
    sample, time = log.preview.sample, log.roles["timestamp"].value
    known = {log.roles[role].value for role in ("user", "item", "session") if role in log.roles}
    filled = [name for name in log.preview.columns if name not in known and sample[name].notna().all()]
    names = [time, *(name for name in filled if "id" in header_words(name))]
    found = {name: event_word(name) for name in names}
    columns = {
        name: (event, word) for name, (event, word) in found.items() if event not in _OF_OTHERS and word not in _VAGUE
    }
    return columns | {log.preview.path.name: event_word(log.preview.path.stem)}


def _pattern(path: Path, kinds: Mapping[Path, str]) -> str:
    """The files that are called so, such as *views*; the path itself without such a word, or if others have it.

    kinds: the event of each file
    """
    _, word = event_word(path.stem)
    pattern = f"*{word}*"
    is_shared = any(other.match(pattern) and kind != kinds[path] for other, kind in kinds.items())
    return pattern if word and word in path.name and not is_shared else path.as_posix()
