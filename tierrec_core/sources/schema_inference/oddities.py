"""What is odd in a log and a person must judge: ids that a spreadsheet broke, guests, items that are no products."""

import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from tierrec_core.base.ids import text_ids
from tierrec_core.sources.numbers import has_three_decimals, parse_numbers
from tierrec_core.sources.schema_inference.columns.names import is_rating_name, is_user_name, name_score
from tierrec_core.sources.schema_inference.columns.roles import Guess
from tierrec_core.sources.schema_inference.event_names import IGNORE, is_charge
from tierrec_core.sources.schema_inference.file_roles import InferenceOverrides, LogFile
from tierrec_core.sources.schema_inference.lookup_tables import LookupTable
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.schema_inference.row_kinds.doubts import doubtful_rows
from tierrec_core.sources.schema_inference.text_encoding import other_readings
from tierrec_core.sources.schema_inference.units.times_of_day import clock_columns
from tierrec_core.sources.tables import ends_cut

_ROUNDED = r"^\d(?:[.,]\d+)?[eE]\+\d+$"
_MIN_GUEST_SHARE, _MIN_GUEST_RATIO, _MAX_GUESTS = 0.05, 5, 3
_MAX_LOGGED_IN = 0.9
_MAX_SHOWN, _MAX_TEXT = 5, 60


def find_oddities(
    logs: Sequence[LogFile], catalogue: LookupTable | None, given: InferenceOverrides, names: Mapping[str, Guess]
) -> Iterator[str]:
    """A sentence on each oddity in the sampled rows of the first log, with the share of rows and what to do.

    names: of events
    """
    log = logs[0]
    if given.encoding is None:
        for preview in {table.preview.path: table.preview for table in (log, catalogue) if table}.values():
            yield from _doubtful_encoding(preview)
    yield from _no_rows(log.preview)
    for role in ("user", "item", "timestamp"):
        yield from _rounded(log, role)
    yield from _one_time(logs)
    yield from _unread_clocks(log)
    yield from doubtful_rows(log, given.exclude)
    yield from _unread_numbers(log)
    yield from _three_decimals(log, given)
    yield from _unused_columns(log)
    yield from _zero_ratings(log)
    yield from _without_items(log, names)
    yield from _other_identity(log)
    yield from _guests(log, given.guests)
    yield from _no_products(log, catalogue)


def _no_rows(preview: FilePreview) -> Iterator[str]:
    remedy = "which the run puts into quarantine with this reason"
    if preview.num_headers:
        yield f"{preview.path}: {preview.num_headers} rows have the names of the columns again, {remedy}"
    if ends_cut(preview.path, preview.form):
        yield f"{preview.path}: the last line is cut, {remedy} until it is whole"


def _doubtful_encoding(preview: FilePreview) -> Iterator[str]:
    if readings := other_readings(preview.sample, preview.form.encoding):
        text = next(iter(readings.values()))[0]
        others = ", ".join(f"{other[:_MAX_TEXT]!r} as {encoding}" for encoding, (_, other) in readings.items())
        yield (
            f"{preview.path}: {text[:_MAX_TEXT]!r} is read as {preview.form.encoding}, and would be {others}; "
            "--encoding says which is right"
        )


def _rounded(log: LogFile, role: str) -> Iterator[str]:
    kind = "time" if role == "timestamp" else f"{role} id"
    ids = log.values(role).dropna().astype("string")
    rounded = ids.str.match(_ROUNDED)
    if rounded.any():
        yield (
            f"{log.preview.path}: {rounded.mean():.0%} of the rows have a {kind} such as {ids[rounded].iloc[0]!r} "
            f"in {log.roles[role].value}: a spreadsheet or reader rounded different ones to one; export them as text"
        )


def _one_time(logs: Sequence[LogFile]) -> Iterator[str]:
    log, times = logs[0], pd.concat([log.values("timestamp").dropna() for log in logs])
    if len(times) > 1 and times.nunique() == 1:
        yield (
            f"{log.preview.path}: all rows have the time {times.iloc[0]} in {log.roles['timestamp'].value}, so that "
            "none precedes another; --time-column names another column"
        )


def _unread_clocks(log: LogFile) -> Iterator[str]:
    time, used = log.roles["timestamp"], {guess.value for guess in log.roles.values()}
    for name in clock_columns(log.preview, time, log.time_format, used):
        yield (
            f"{log.preview.path}: {name} has times of day, which are not read, and {time.value} has the day alone; if "
            f"they are those of the events, write source.columns.time_of_day: {name}"
        )


def _unread_numbers(log: LogFile) -> Iterator[str]:
    """A column that is called as values are, and has digits, where the log has no other value."""
    known = {guess.value for guess in log.roles.values()} | log.preview.time_formats.keys()
    for name in (name for name in log.preview.columns if "value" not in log.roles and name not in known):
        filled = log.preview.sample[name].dropna().astype("string")
        if name_score("value", name) and filled.str.contains(r"\d", regex=True).mean() > 1 / 2:
            numbers, _ = parse_numbers(filled, log.preview.form.decimal)
            if len(cells := filled[np.isnan(numbers)]):
                yield (
                    f"{log.preview.path}: {name} is not used, and values stay empty: {cells.iloc[0]!r} and "
                    f"{len(cells) - 1} other cells are no numbers with the decimal mark "
                    f"{log.preview.form.decimal!r}; write all alike"
                )


def _three_decimals(log: LogFile, given: InferenceOverrides) -> Iterator[str]:
    cells, form = log.values("value").dropna(), log.preview.form
    is_open = given.decimal is None and form.decimal == "." and pd.api.types.is_string_dtype(cells.dtype)
    if is_open and has_three_decimals(cells):
        example = cells[cells.str.contains(".", regex=False)].iloc[0]
        yield (
            f"{log.preview.path}: all numbers with a dot in {log.roles['value'].value} have three digits behind it, "
            f"such as {example!r}; --decimal , says that the dots part thousands"
        )


def _unused_columns(log: LogFile) -> Iterator[str]:
    """Columns of the same name as one that is used."""
    used = {guess.value for guess in log.roles.values()}
    for name in (name for name in log.preview.columns if name not in used):
        if name.endswith("_1") and name[:-2] in used:
            yield f"{log.preview.path}: two columns are called {name[:-2]}; the first is read; call them differently"


def _zero_ratings(log: LogFile) -> Iterator[str]:
    """Ratings of 0 beside higher ones, as Book-Crossing has for books that were not rated."""
    name = log.roles["value"].value if "value" in log.roles else ""
    numbers = log.preview.numbers(name)[0] if is_rating_name(name) else np.zeros(0)
    if (num := int((numbers == 0).sum())) and (numbers > 0).any():
        yield (
            f"{log.preview.path}: {num / len(numbers):.0%} of the rows have 0 in {name}, which may mean that there was "
            f"no rating; they are read as ratings of 0; --exclude {shlex.quote(f'{name}=0')} leaves them out"
        )


def _without_items(log: LogFile, names: Mapping[str, Guess]) -> Iterator[str]:
    """Events that are read, no row of which has an item."""
    has_item = log.values("item").notna().groupby(log.event_names).any()
    lacking = [name for name, guess in names.items() if guess.value != IGNORE and not has_item.get(name, True)]
    if lacking:
        yield (
            f"{log.preview.path}: {log.roles['item'].value} is empty in all rows of {', '.join(lacking)}, which the "
            f"run puts into quarantine; --item-column names another column, --event {shlex.quote(lacking[0])}={IGNORE} "
            "drops them"
        )


def _other_identity(log: LogFile) -> Iterator[str]:
    """A further column that is called as users are, and is empty in many rows: of those who did not log in."""
    user, filled = log.roles["user"].value, log.preview.sample.notna().mean()
    for name in log.preview.columns:
        if 0 < filled[name] <= _MAX_LOGGED_IN * filled[user] and is_user_name(name):
            yield (
                f"{log.preview.path}: {name} is filled in {filled[name]:.0%} of the rows; if it is who logged in, and "
                f"{user} the visitor, write source.columns.user: [{name}, {user}], of which the first filled one counts"
            )


def _guests(log: LogFile, known: Collection[str]) -> Iterator[str]:
    ids = text_ids(log.values("user")[log.values("item").notna()]).fillna("")
    shares = ids.value_counts(normalize=True).drop(list(known), errors="ignore")
    follower = shares.shift(-1)
    is_last = (shares >= _MIN_GUEST_SHARE) & ((shares >= _MIN_GUEST_RATIO * follower) | (shares.index == ""))
    num = next((num for num in range(_MAX_GUESTS, 0, -1) if is_last[num - 1 : num].any()), 0)
    for user, share in shares[:num].items():
        yield (
            f"{log.preview.path}: user {user!r} has {share:.0%} of the rows, others have {shares.iloc[num]:.1%} "
            f"at most; if it stands for guests, who are no users, give --guest {shlex.quote(str(user))}"
        )


def _no_products(log: LogFile, catalogue: LookupTable | None) -> Iterator[str]:
    columns: dict[str, Guess] = catalogue.columns if catalogue else {}
    if catalogue is None or "title" not in columns:
        return
    names = [columns[role].value for role in ("item", "title")]
    titles = dict(catalogue.preview.sample[names].dropna().astype("string").itertuples(index=False, name=None))
    rows = Counter(log.values("item").dropna().astype("string"))
    found = [(item, num) for item, num in rows.most_common() if is_charge(titles.get(item, ""))]
    if found:
        shown = ", ".join(f"{item} {titles[item]!r} ({num} rows)" for item, num in found[:_MAX_SHOWN])
        more = f" and {len(found) - _MAX_SHOWN} more" if len(found) > _MAX_SHOWN else ""
        yield f"by their titles these items may be no products: {shown}{more}; `tierrec review block ID` hides an item"
