"""Rows that may be no purchases and are kept: a person must judge, and gets the flag that leaves them out."""

from collections.abc import Iterator, Mapping
from shlex import quote

from tierrec_core.sources.file_columns import ANY_VALUE, is_excluded
from tierrec_core.sources.schema_inference.columns.roles import is_item_attribute
from tierrec_core.sources.schema_inference.event_names import is_void
from tierrec_core.sources.schema_inference.file_roles import LogFile
from tierrec_core.sources.schema_inference.row_kinds.exclusions import (
    MAX_MARKED,
    filled_share,
    is_of_users,
    is_of_void,
    marked_values,
    void_columns,
)
from tierrec_core.sources.schema_inference.row_kinds.order_statuses import (
    is_of_others,
    is_status_name,
    unknown_statuses,
    void_statuses,
)

_MIN_STATUSES, _MAX_STATUSES, _MIN_AGREEING = 2, 12, 0.99


def doubtful_rows(log: LogFile, given: Mapping[str, object]) -> Iterator[str]:
    """A sentence on each column whose rows may be no purchases. given: columns whose rows are left out as told"""
    taken = {guess.value for role, guess in log.roles.items() if role != "channel"} | set(log.returned) | given.keys()
    for name in (name for name in log.preview.columns if name not in taken):
        yield from _void_dates(log, name)
        yield from _many_marked(log, name)
        yield from _unknown_statuses(log, name)


def _void_dates(log: LogFile, name: str) -> Iterator[str]:
    """A column of times at which orders came to nothing, by name, that is filled too often to leave its rows out."""
    share = filled_share(log.preview.sample[name])
    is_of_times = name in log.preview.time_formats and (is_void(name) or is_of_void(name))
    if is_of_times and share < 1 and not void_columns(log.preview, set(log.preview.columns) - {name}):
        yield (
            f"{log.preview.path}: {name} is filled in {share:.0%} of the rows, which may be orders that came to "
            f"nothing; they are kept; --exclude {quote(f'{name}={ANY_VALUE}')} leaves them out"
        )


def _many_marked(log: LogFile, name: str) -> Iterator[str]:
    cells = log.preview.sample[name]
    marked = sorted(marked_values(name, cells.astype("string")))
    if marked and (share := is_excluded(cells, marked).mean()) > MAX_MARKED:
        flags = " ".join(f"--exclude {quote(f'{name}={value}')}" for value in marked)
        yield (
            f"{log.preview.path}: {name} is {' or '.join(marked)} in {share:.0%} of the rows, too many to be void or "
            f"test orders by the name alone; they are kept; {flags} leaves them out"
        )


def _unknown_statuses(log: LogFile, name: str) -> Iterator[str]:
    """The kinds of a status of orders that are not understood."""
    texts = log.preview.sample[name].astype("string")
    if not is_status_name(name) or is_of_others(name) or not _MIN_STATUSES <= texts.nunique() <= _MAX_STATUSES:
        return
    kinds = [str(kind) for kind in texts.dropna().unique() if any(map(str.isalpha, str(kind)))]
    unknown = unknown_statuses(name, kinds)
    if unknown and _is_of_orders(log, name) and not is_of_users(log.preview, log.roles, name, unknown):
        void = [f"--exclude {quote(f'{name}={kind}')}" for kind in void_statuses(kinds)]
        counts = texts.value_counts()
        listed = ", ".join(f"{kind} ({counts[kind]} rows, --exclude {quote(f'{name}={kind}')})" for kind in unknown)
        beside = f", beside {' '.join(void)}" if void else ""
        yield (
            f"{log.preview.path}: {name} has statuses that are not understood, whose orders are kept as purchases: "
            f"{listed}; the flag of each leaves out its orders, if they came to nothing{beside}"
        )


def _is_of_orders(log: LogFile, name: str) -> bool:
    """Whether all lines of an order have one value, and not all rows of an item."""
    is_known = "session" in log.roles and log.roles["session"].value != name
    keys = [log.roles[role].value for role in (("session",) if is_known else ("user", "timestamp"))]
    is_one = (log.preview.sample.groupby(keys)[name].nunique() <= 1).mean() >= _MIN_AGREEING
    return bool(is_one) and not is_item_attribute(log.preview, log.roles["item"].value, name)
