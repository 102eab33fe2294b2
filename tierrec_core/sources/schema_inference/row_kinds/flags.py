"""Columns of yes and no, or of counts, that say what happened: is_sale, clicked, num_purchases."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote

import numpy as np

from tierrec_core.base.contracts import EVENT_CODES, Event, FloatArray
from tierrec_core.base.errors import DataError
from tierrec_core.sources.numbers import parse_numbers
from tierrec_core.sources.schema_inference.columns.names import header_words
from tierrec_core.sources.schema_inference.columns.roles import Guess, describe_content, is_item_attribute
from tierrec_core.sources.schema_inference.event_names import NO, YES, event_word, flag_event, plain
from tierrec_core.sources.schema_inference.file_roles import LogFile
from tierrec_core.sources.schema_inference.row_kinds.file_names import file_event

_TRUTH = dict.fromkeys(YES, "1") | dict.fromkeys(NO, "0")
_LABELS = {"label", "target", "y", "islabel", "outcome", "response", "positive", "ispositive", "interaction"}
_MAX_KINDS, _MIN_ORDERED = 30, 0.95
_ORDERS = {"order", "invoice", "receipt", "transaction", "basket", "sale"}


def with_flag_column(log: LogFile) -> LogFile:
    """The log with its one column of yes and no as that of events; unless orders have the rows without, too."""
    flags = {} if "event" in log.roles or is_of_orders(log) else _flags(log)
    if len(flags) != 1 or not _is_truth(*flags.values()) or _has_orders(log, *flags):
        return log
    name = next(iter(flags))
    kinds = f"{flag_event(name)}, or {without_flag(name, log.preview.path)} without it"
    guess = Guess("event", name, f"says by yes and no what each row is: {kinds}; {describe_content(log.preview, name)}")
    return replace(log, roles=log.roles | {"event": guess})


def refuse_flags(log: LogFile) -> None:
    """Raise DataError where columns say what happened, and not one of them alone; in orders, they are attributes."""
    flags = {} if is_of_orders(log) else _flags(log)
    if not flags:
        return
    example = ", ".join(f"{name} is {log.preview.sample[name].iloc[0]}" for name in flags)
    kinds = " or ".join(dict.fromkeys(map(flag_event, flags)))
    raise DataError(
        f"{log.preview.path}: {', '.join(flags)} say what happened, as in the first row, where {example}; wanted "
        "a row per event, and a column with its name\nwrite a row for each of these cells that is not 0, with "
        f"{kinds} in a further column{_by_one_flag(log, flags)}, or say what all rows are with --default-event"
    )


def refuse_label(log: LogFile) -> None:
    """Raise DataError where a column of yes and no is called as labels of data sets are, which may mean any event."""
    for name in (name for name in log.preview.columns if plain(name) in _LABELS):
        if len(counts := _counts(log, name)) > 1 and _is_truth(counts):
            kinds = log.preview.sample[name].dropna().astype("string").unique()
            meanings = {kind: "purchase" if kind.lower().removesuffix(".0") in YES else "view" for kind in kinds}
            flags = " ".join(f"--event {quote(f'{kind}={event}')}" for kind, event in meanings.items())
            raise DataError(
                f"{log.preview.path}: {name} says {' or '.join(kinds)} of each row; wanted what these mean\n"
                f"say it, as in --event-column {quote(name)} {flags}, or say what all rows are with --default-event"
            )


def is_of_orders(log: LogFile) -> bool:
    """Whether the name of the file or of its times says that all rows are purchases, or their columns do."""
    named = (file_event(log.preview.path)[0], event_word(log.roles["timestamp"].value)[0])
    return Event.PURCHASE in named or has_order_columns(log)


def has_order_columns(log: LogFile) -> bool:
    """Whether all rows have the id of an order, and a number of pieces that is not 0."""
    if not {"session", "quantity"} <= log.roles.keys():
        return False
    pieces, _ = log.preview.numbers(log.roles["quantity"].value)
    is_order = not (_ORDERS - {"basket"}).isdisjoint(header_words(log.roles["session"].value))
    return is_order and bool((log.values("session").notna() & (pieces != 0)).mean() >= _MIN_ORDERED)


def flag_meaning(column: str, name: str, path: Path) -> str | None:
    """The event of rows with this yes or no, or none, in a column such as is_sale of a file; None for other cells."""
    value = name.lower().removesuffix(".0")
    event = flag_event(column)
    if not event or value not in YES | NO | {""}:
        return None
    return event if value in YES else without_flag(column, path)


def without_flag(column: str, path: Path) -> str:
    """What rows without the flag are: the event in the name of the file, if it is a weaker one; else what precedes."""
    event, (named, _) = flag_event(column), file_event(path)
    if named and EVENT_CODES.get(named, len(EVENT_CODES)) < EVENT_CODES[event]:
        return named
    return str(Event.VIEW if EVENT_CODES[event] > EVENT_CODES[Event.CLICK] else Event.IMPRESSION)


def _by_one_flag(log: LogFile, flags: Mapping[str, FloatArray]) -> str:
    """How to read the strongest of the flags; empty where all are counts."""
    names = [name for name, counts in flags.items() if _is_truth(counts)]
    if not names:
        return ""
    name = max(names, key=lambda column: EVENT_CODES[flag_event(column)])
    kinds = log.preview.sample[name].astype("string").fillna("").unique()
    meanings = [f"--event {quote(f'{kind}={flag_meaning(name, kind, log.preview.path)}')}" for kind in kinds]
    return f", or read {name} alone with --event-column {quote(name)} {' '.join(meanings)}"


def _is_truth(counts: FloatArray) -> bool:
    return set(counts) <= {0.0, 1.0}


def _has_orders(log: LogFile, flag: str) -> bool:
    """Whether rows without the flag have a number of pieces or the id of an order."""
    truth = log.preview.sample[flag].astype("string").str.lower().str.removesuffix(".0")
    rows = ~truth.isin(YES)
    pieces, _ = parse_numbers(log.values("quantity"), log.preview.form.decimal)
    has_pieces = "quantity" in log.roles and bool((pieces[rows] > 0).any())
    is_order = "session" in log.roles and not _ORDERS.isdisjoint(header_words(log.roles["session"].value))
    return has_pieces or (is_order and bool(log.values("session")[rows].notna().any()))


def _flags(log: LogFile) -> dict[str, FloatArray]:
    """The columns that say what happened, with their distinct counts; none where each did happen in each row."""
    columns = {name: _counts(log, name) for name in log.preview.columns if flag_event(name)}
    counts = {name: found for name, found in columns.items() if len(found)}
    is_open = any(found.min() == 0 or log.preview.sample[name].isna().any() for name, found in counts.items())
    return counts if is_open else {}


def _counts(log: LogFile, name: str) -> FloatArray:
    """The distinct counts or truth values of a column that has no role and differs among an item's rows; else none."""
    preview, none = log.preview, np.zeros(0)
    kinds = preview.sample[name].dropna().astype("string").str.lower().drop_duplicates()
    if name in {guess.value for guess in log.roles.values()} or not 0 < len(kinds) <= _MAX_KINDS:
        return none
    counts = parse_numbers(kinds.replace(_TRUTH), preview.form.decimal)[0]
    is_count = bool((counts >= 0).all() and (counts % 1 == 0).all())
    return none if not is_count or is_item_attribute(preview, log.roles["item"].value, name) else counts
