"""What the rows of a file without a column of events are, by the names of the file and of its columns."""

import glob
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tierrec_core.base.contracts import EVENT_NAMES, RETURN, Event
from tierrec_core.base.errors import DataError
from tierrec_core.sources.numbers import parse_numbers
from tierrec_core.sources.schema_inference.columns.names import header_words, is_rating_name
from tierrec_core.sources.schema_inference.columns.roles import Guess
from tierrec_core.sources.schema_inference.event_names import IGNORE, event_word, words
from tierrec_core.sources.schema_inference.file_roles import LogFile
from tierrec_core.sources.schema_inference.row_kinds.file_names import file_event, separating_pattern
from tierrec_core.sources.schema_inference.row_kinds.flags import has_order_columns, refuse_flags, refuse_label

_OF_OTHERS = (IGNORE, Event.REDEEM)  # a search_id or a coupon_id stands beside any event
_VAGUE = ("show", "visit", "look", "detail", "seen")  # last_seen is of the user, show_id of a series
_VIEWED = frozenset(["watch", "watched", "played", "listened", "streamed"])
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
    found = {log.preview.path: _row_event(log, is_alone=len(logs) == 1) for log in lacking}
    if not found:
        return []
    event, evidence = next((pair for pair in found.values() if pair[0] != RETURN), next(iter(found.values())))
    kinds = {path: other for path, (other, _) in found.items()}
    others = {separating_pattern(path, kinds): (other, why) for path, (other, why) in found.items() if other != event}
    return [
        Guess("default_event", event, f"no column of events; {evidence}"),
        *(
            Guess(f"file_events {pattern}", other, f"no column of events; {why}")
            for pattern, (other, why) in others.items()
        ),
    ]


def _row_event(log: LogFile, *, is_alone: bool) -> tuple[str, str]:
    """The event of each row, and why. Raises DataError where the names of the file and its columns contradict.

    is_alone: whether there are no other files, whose purchases returns may take back
    """
    path = log.preview.path
    if "value" in log.roles and is_rating_name(value := log.roles["value"].value):
        numbers, _ = parse_numbers(log.values("value").dropna(), log.preview.form.decimal)
        return str(Event.RATING), f"{value} has ratings of {np.nanmin(numbers):g} to {np.nanmax(numbers):g}"
    orders = [log.roles[role].value for role in _BY_ORDER if role in log.roles]
    named = {
        event: f"{word!r} is in the name {name}"
        for name, (event, word) in _event_words(log).items()
        if event and (not orders or (name == path.name and word not in _VAGUE))
    }
    if RETURN in named and not is_alone:
        return RETURN, named[RETURN]
    _refuse_contradictions(log, named, orders)
    if named:
        return named.popitem()
    if orders:
        return str(Event.PURCHASE), f"{', '.join(orders)} are those of purchases"
    refuse_label(log)
    return str(Event.PURCHASE), "nothing says what the rows are, which are taken as purchases"


def _refuse_contradictions(log: LogFile, named: Mapping[str, str], orders: Sequence[str]) -> None:
    """Raise DataError where names say several events, or none of a log, or another one than the columns of orders."""
    says = f"{log.preview.path}: there is no column of events, and {', but '.join(named.values())}"
    if len(named) > 1 or not named.keys().isdisjoint((IGNORE, RETURN)):
        raise DataError(
            f"{says}; wanted one kind of events\n"
            f"say with --default-event which of {', '.join(EVENT_NAMES)} the rows are, or leave the file out"
        )
    if named and Event.PURCHASE not in named and has_order_columns(log):
        raise DataError(
            f"{says}, but {', '.join(orders)} are those of orders; wanted one kind of events\n"
            f"say which the rows are with --default-event {Event.PURCHASE} or --default-event {next(iter(named))}"
        )


def _event_words(log: LogFile) -> dict[str, tuple[str, str]]:
    """The events, with their words, in the names of the file and of its columns of times, of how long something was
    watched or played, and of other filled ids."""
    sample, time = log.preview.sample, log.roles["timestamp"].value
    known = {log.roles[role].value for role in ("user", "item", "session") if role in log.roles}
    filled = [name for name in log.preview.columns if name not in known and sample[name].notna().all()]
    names = [time, *(name for name in filled if "id" in header_words(name) or not _VIEWED.isdisjoint(words(name)))]
    found = {name: event_word(name) for name in names}
    columns = {
        name: (event, word) for name, (event, word) in found.items() if event not in _OF_OTHERS and word not in _VAGUE
    }
    return columns | {log.preview.path.name: file_event(log.preview.path)}


def unknown_later_files(row_events: Sequence[Guess]) -> Iterator[str]:
    """A sentence on each file that no pattern tells from those of other events."""
    for path in (guess.place.partition(" ")[2] for guess in row_events):
        if path and not glob.has_magic(path):
            yield (
                f"{path}: no pattern of its name tells it from files of other events, so that later files of its kind "
                "are read as of source.default_event; call it after its event, or write a pattern in source.file_events"
            )
