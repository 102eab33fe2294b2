"""Proposes split, tasks and blend for a log of a given length and size."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd

from tierrec_core.base.contracts import Event
from tierrec_core.settings import MIN_TEST_USERS
from tierrec_core.sources.schema_inference.columns.roles import Guess
from tierrec_core.sources.schema_inference.file_roles import LogFile
from tierrec_core.sources.schema_inference.preview import LogExtent
from tierrec_core.sources.time_formats import parse_times

_CUT = 0.8
_HORIZONS = (1 / 24, 0.25, 1, 2, 3, 7, 14, 28, 91, 182)
_MAX_WINDOWS = 6
_WEEK = 7
_MIN_TARGET_SHARE = 0.001
_MAX_HORIZON_SHARE = 0.2
_DAY = pd.Timedelta(days=1)


def default_sections(
    logs: Sequence[LogFile], events: pd.Series, *, given_split: bool, attributes: list[str]
) -> tuple[dict[str, Any], list[Guess]]:
    """The sections by name, and what decided the horizons. events: name of each sampled row of all files"""
    extent = _joined([log.preview.extent(log.time_columns, log.time_format, _CUT) for log in logs])
    target = default_target(events.value_counts(normalize=True))
    rows = pd.concat(map(_sampled_rows, logs), ignore_index=True).assign(is_target=events == target)
    before, after = (extent.cut - extent.first) / _DAY, (extent.last - extent.cut) / _DAY
    longest = _horizon((extent.last - extent.first) / _DAY * _MAX_HORIZON_SHARE)
    next_days = _horizon(min(after / 2, before / 12))
    discovery_days = max(next_days, _horizon(min(after, before / 6)))
    guesses = []
    if not given_split and len(rows) == sum(log.preview.num_rows for log in logs):  # a sample has too few users
        cut = partial(_cut_time, extent)
        discovery_days, num_discovery = _horizon_with_users(rows, discovery_days, longest, cut, repeats=False)
        cut_time = cut(discovery_days)
        next_days, num_next = _horizon_with_users(rows, next_days, discovery_days, lambda _: cut_time, repeats=True)
        guesses = [_guess("next", next_days, num_next), _guess("discovery", discovery_days, num_discovery)]
    before = min(before, (extent.last - extent.first) / _DAY - discovery_days)
    tasks = {"next": _task(next_days, before, repeats=True), "discovery": _task(discovery_days, before, repeats=False)}
    sections = {
        "split": {
            "by": {"kind": "given"} if given_split else {"kind": "time", "cut": _cut(discovery_days)},
            "min_users_per_item": min_users_per_item(extent.rows),
            "target": [target],
        },
        "tasks": tasks,
        "blend": {task: {"attributes": attributes} for task in tasks} if attributes else {},
    }
    return sections, guesses


def _sampled_rows(log: LogFile) -> pd.DataFrame:
    """User, item and time in UTC of each sampled row."""
    ids = {role: log.values(role).astype("string") for role in ("user", "item")}
    return pd.DataFrame(ids).assign(timestamp=parse_times(log.values("timestamp"), log.time_format, "UTC"))


def _horizon_with_users(
    rows: pd.DataFrame, shortest: float, longest: float, cut: Callable[[float], pd.Timestamp], *, repeats: bool
) -> tuple[float, int]:
    """The shortest horizon in days that has enough users to judge a task, else most users, and their number."""
    found = [
        (days, _num_test_users(rows, cut(days), days, repeats=repeats))
        for days in _HORIZONS
        if shortest <= days <= max(shortest, longest)
    ]
    return max(found, key=lambda pair: min(pair[1], MIN_TEST_USERS))


def _cut_time(extent: LogExtent, days: float) -> pd.Timestamp:
    return extent.last.floor("D") + (1 - days) * _DAY if days >= _WEEK else extent.cut


def _num_test_users(rows: pd.DataFrame, cut: pd.Timestamp, days: float, *, repeats: bool) -> int:
    """Users with an event before the cut and a target event in the days after it; without repeats, with a new item."""
    past, future = rows[rows["timestamp"] < cut], rows[rows["timestamp"] >= cut]
    future = future[(future["timestamp"] < cut + days * _DAY) & future["is_target"] & future["user"].isin(past["user"])]
    if not repeats:
        pairs = ["user", "item"]
        future = future[~pd.MultiIndex.from_frame(future[pairs]).isin(pd.MultiIndex.from_frame(past[pairs]))]
    return int(future["user"].nunique())


def _guess(task: str, days: float, num_users: int) -> Guess:
    few = f", wanted {MIN_TEST_USERS}" if num_users < MIN_TEST_USERS else ""
    return Guess(f"horizon {task}", f"{days:g} days", f"{num_users} users have events to judge it by{few}")


def _cut(days: float) -> str | float:
    """The longest horizon before the log's newest day, which moves with the log; a share where that is under a week."""
    return f"last {days:g} days" if days >= _WEEK else _CUT


def default_target(behaviours: pd.Series) -> str:
    """The strongest event on catalogue items with at least a thousandth of the rows."""
    ranked = [event for event in reversed(Event) if event not in (Event.REDEEM, Event.IMPRESSION)]
    frequent = (event for event in ranked if behaviours.get(event, 0) >= _MIN_TARGET_SHARE)
    return str(next(frequent, Event.PURCHASE))


def min_users_per_item(rows: int) -> int:
    """The minimum number of users of an item: larger in a larger log."""
    return next(users for size, users in ((1_000_000, 10), (100_000, 5), (10_000, 3), (0, 2)) if rows >= size)


def _joined(extents: list[LogExtent]) -> LogExtent:
    """The extent of all files; the cut of several assumes evenly spread rows."""
    if len(extents) == 1:
        return extents[0]
    first, last = min(extent.first for extent in extents), max(extent.last for extent in extents)
    return LogExtent(first, first + _CUT * (last - first), last, sum(extent.rows for extent in extents))


def _horizon(days: float) -> float:
    """The longest of _HORIZONS within `days`."""
    return max((horizon for horizon in _HORIZONS if horizon <= days), default=_HORIZONS[0])


def _task(days: float, days_before: float, *, repeats: bool) -> dict[str, Any]:
    """Adjacent windows over the newer half of the days before the cut."""
    windows = min(_MAX_WINDOWS, max(1, int(days_before / 2 / days)))
    return {"horizon_days": days, "repeats": repeats, "windows": windows, "step_days": days}
