"""What each kind of rows in a log is: an event of the platform, the return of a purchase, or none."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from shlex import quote

import pandas as pd

from tierrec_core.base.contracts import EVENT_NAMES, RETURN, Event
from tierrec_core.base.errors import DataError
from tierrec_core.sources.numbers import parse_numbers
from tierrec_core.sources.schema_inference.columns.roles import NO_EVENT, Guess, describe_content
from tierrec_core.sources.schema_inference.event_names import (
    CROSS,
    IGNORE,
    NO,
    YES,
    canonical_event,
    is_charge,
    is_return_word,
    is_void,
    plain,
    words,
)
from tierrec_core.sources.schema_inference.file_roles import InferenceOverrides, LogFile
from tierrec_core.sources.schema_inference.row_kinds.flags import flag_meaning
from tierrec_core.sources.schema_inference.row_kinds.order_statuses import is_status_name
from tierrec_core.sources.time_formats import parse_times

_MAX_KINDS = 30
_MIN_WITH_ITEM = 0.95
_RETURN_CODES = {"cn", "ret", "rtn", "creditnote", "creditmemo", "salescreditmemo", "creditinvoice", "shkzg"}
_SALES_TEXT = """sale sales sold invoice invoices inv si order orders purchase purchases payment charge capture
    transaction tx rechnung rechnungen verkauf bestellung facture factura fattura fatura vente venta
    vendita sprzedaz faktura verkoop prodej salg"""
_SALES = frozenset(_SALES_TEXT.split())
_LINES_TEXT = """line lines item items lineitem product products article artikel position goods merchandise"""
_LINES = frozenset(_LINES_TEXT.split())
_FILLERS_TEXT = """completed complete customer of the a note memo document event full goods"""
_FILLERS = frozenset(_FILLERS_TEXT.split())
_PEOPLE = frozenset(["customer", "customers"])  # those who return are no returns
_IN_ORDER, _MIN_BEFORE, _ALL_BEFORE, _MORE_BEFORE = 1 / 4, 1 / 2, 0.95, 0.2


def with_return_column(log: LogFile) -> LogFile:
    """The log with the column whose kinds tell returns from sales as that of events, where it has no other."""
    if "event" in log.roles and any(canonical_event(kind) for kind in _kinds(log.values("event"))):
        return log
    used = {guess.value for role, guess in log.roles.items() if role != "event"} | set(log.returned)
    for name in (name for name in log.preview.columns if name not in used):
        cells = log.preview.sample[name]
        kinds = _kinds(cells) if 0 < cells.nunique() <= _MAX_KINDS else []
        if _tells_returns(name, kinds) and not (marks_returns(name, kinds) and _marks_sales(log, cells)):
            guess = Guess("event", name, f"tells returns from sales; {describe_content(log.preview, name)}")
            return replace(log, roles=log.roles | {"event": guess})
    return log


def _marks_sales(log: LogFile, flags: pd.Series) -> bool:
    """Whether the marked rows are the sales that came back, and not rows of their own beside them.

    Those of their own have negative amounts; or they have orders or times of their own, and most come after an unmarked
    row of the same user and item.
    """
    marked = flags.astype("string").str.lower().str.removesuffix(".0").isin(YES | CROSS)
    for role in {"value", "quantity"} & log.roles.keys():
        numbers, missing = parse_numbers(log.values(role)[marked], log.preview.form.decimal)
        if (numbers[~missing] < 0).mean() > 1 / 2:
            return False
    order = ["session"] if "session" in log.roles else ["user", "timestamp"]
    if (_has_unmarked(log, order, marked) & ~_has_unmarked(log, [*order, "item"], marked)).mean() > _IN_ORDER:
        return True
    rows = pd.DataFrame({role: log.values(role) for role in ("user", "item")})
    rows["at"] = parse_times(log.values("timestamp"), log.time_format, "UTC")
    sales = rows[~marked].groupby(["user", "item"])["at"].agg(["min", "max"])
    found = rows[marked].merge(sales, how="left", on=["user", "item"])
    before, after = (found["min"] <= found["at"]).mean(), (found["max"] > found["at"]).mean()
    are_own = before > _MIN_BEFORE and (before >= _ALL_BEFORE or before - after >= _MORE_BEFORE)
    return not are_own


def _has_unmarked(log: LogFile, roles: list[str], marked: pd.Series) -> pd.Series:
    """Whether an unmarked row has the same values as each marked one, [N]."""
    keys = pd.MultiIndex.from_arrays([log.values(role).astype("string").fillna("") for role in roles])
    return pd.Series(keys[marked].isin(keys[~marked]))


def event_meanings(logs: list[LogFile], given: InferenceOverrides) -> dict[str, Guess]:
    """The platform's name of each event name in the files, most frequent first. Raises DataError for unknown ones."""
    rows = [_event_rows(log) for log in logs if "event" in log.roles]
    if not rows:
        return {}
    table = pd.concat(rows, ignore_index=True)
    counts, with_item = table["event"].value_counts(), table.groupby("event")["has_item"].mean()
    column = next(log.roles["event"].value for log in logs if "event" in log.roles)
    kinds = [str(name) for name in counts.index]
    path = logs[0].preview.path
    inferred = {name: _meaning(name, column, path, kinds, float(with_item[name])) for name in kinds}
    names = {name: given.events.get(name) or inferred[name] for name in kinds}
    if unknown := [name for name, event in names.items() if event is None]:
        listed = ", ".join(f"{name or NO_EVENT} ({counts[name]} rows)" for name in unknown)
        example = quote(unknown[0]) if unknown[0] else ""
        raise DataError(
            f"{logs[0].preview.path}: column {column} has names of events that are not known: {listed}\n"
            f"say for each which of {', '.join(EVENT_NAMES)} it is, as --event {example}=EVENT, that it "
            f"takes a purchase back, as --event {example}={RETURN}, or that its rows are to be dropped, as "
            f"--event {example}={IGNORE}; "
            "--event-column names another column, '' none"
        )
    return {
        name: Guess(
            f"event {name or NO_EVENT}",
            str(event),
            f"{'given' if name in given.events else 'by name'}; {counts[name]} rows",
        )
        for name, event in names.items()
    }


def _event_rows(log: LogFile) -> pd.DataFrame:
    return pd.DataFrame({"event": log.event_names, "has_item": log.values("item").notna()})


def _kinds(cells: pd.Series) -> list[str]:
    return [str(kind) for kind in cells.astype("string").fillna("").unique()]


def _meaning(name: str, column: str, path: Path, kinds: Collection[str], with_item: float) -> str | None:
    """What a kind of rows is; None if that is not known.

    path: of the log; with_item: share of its rows that name an item
    """
    known, kinds = canonical_event(name), list(kinds)
    if (
        any(kinds)
        and (flagged := [flag_meaning(column, kind, path) for kind in (name, *kinds)])
        and None not in flagged
    ):
        return flagged[0]
    if not _tells_returns(column, kinds):
        is_undone = _is_return(name) and with_item >= _MIN_WITH_ITEM
        return RETURN if is_undone and Event.PURCHASE in map(canonical_event, kinds) else known
    if marks_returns(column, kinds):
        return RETURN if name.lower().removesuffix(".0") in YES | CROSS else Event.PURCHASE
    if not with_item:
        return IGNORE
    if not name:
        return None
    return RETURN if _is_return(name) else Event.PURCHASE if _is_sale(name) else IGNORE


def _tells_returns(column: str, kinds: Collection[str]) -> bool:
    """Whether a column has kinds of returns and sales, charges and void orders alone; or says so by yes and no."""
    if is_status_name(column):
        return False
    filled = [kind for kind in kinds if kind]
    others = [kind for kind in filled if not _is_return(kind)]
    is_known = all(_is_sale(kind) or is_charge(kind) or is_void(kind) for kind in others)
    return marks_returns(column, kinds) or (len(others) < len(filled) and any(map(_is_sale, others)) and is_known)


def marks_returns(column: str, kinds: Collection[str]) -> bool:
    """Whether a column says with yes and no, or with a mark and empty cells, what is a return, such as is_return."""
    values = {kind.lower().removesuffix(".0") for kind in kinds}
    found = {word for word in words(column) if word not in ("is", "was")}
    no = NO | {""}
    yes = YES | CROSS if "" in values else YES
    is_flag = bool(values & yes and values & no) and values <= yes | no
    return is_flag and found.isdisjoint(_PEOPLE) and _is_return(" ".join(found))


def _is_return(kind: str) -> bool:
    """Whether a kind of rows takes a purchase back, by all of its words."""
    found = set(words(kind))
    rest = {word for word in found if not is_return_word(word)}
    return plain(kind) in _RETURN_CODES or (len(rest) < len(found) and rest <= _SALES | _LINES | _FILLERS)


def _is_sale(kind: str) -> bool:
    """Whether a kind of rows is that of a sale, or of a line of it, by all of its words."""
    found = set(words(kind))
    return bool(found) and found <= _SALES | _LINES | _FILLERS
