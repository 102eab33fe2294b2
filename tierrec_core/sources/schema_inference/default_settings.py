"""Proposes split, tasks and blend for a log of a given length and size."""

from typing import Any

import pandas as pd

from tierrec_core.base.contracts import Event
from tierrec_core.sources.schema_inference.preview import FilePreview, LogExtent
from tierrec_core.sources.time_formats import TimeFormat

_CUT = 0.8
_HORIZONS = (1 / 24, 0.25, 1, 2, 3, 7, 14, 28, 91, 182)
_MAX_WINDOWS = 6
_WEEK = 7
_MIN_TARGET_SHARE = 0.001
_DAY = pd.Timedelta(days=1)


def default_sections(
    logs: list[tuple[FilePreview, str, TimeFormat]], behaviours: pd.Series, *, given_split: bool, attributes: list[str]
) -> dict[str, Any]:
    """The sections by name. behaviours: share of rows by event; logs: each file with its time column and format."""
    extent = _joined([preview.extent(column, time_format, _CUT) for preview, column, time_format in logs])
    before, after = (extent.cut - extent.first) / _DAY, (extent.last - extent.cut) / _DAY
    next_days = _horizon(min(after / 2, before / 12))
    discovery_days = max(next_days, _horizon(min(after, before / 6)))
    tasks = {"next": _task(next_days, before, repeats=True), "discovery": _task(discovery_days, before, repeats=False)}
    return {
        "split": {
            "by": {"kind": "given"} if given_split else {"kind": "time", "cut": _cut(discovery_days)},
            "min_users_per_item": min_users_per_item(extent.rows),
            "target": [default_target(behaviours)],
        },
        "tasks": tasks,
        "blend": {task: {"attributes": attributes} for task in tasks} if attributes else {},
    }


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
