"""How to cut and judge a log of a given length and size: split, tasks and blend for params.yaml."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from tierrec_core.base.contracts import Event
from tierrec_core.sources.schema_inference.preview import FilePreview, LogExtent
from tierrec_core.sources.time_formats import TimeFormat

_CUT = 0.8
_HORIZONS = (1 / 24, 0.25, 1, 2, 3, 7, 14, 28, 91, 182)
_MAX_WINDOWS = 6
_MIN_TARGET_SHARE = 0.001
_MAX_ATTRIBUTES = 5
_DAY = pd.Timedelta(days=1)


def default_sections(
    logs: list[tuple[FilePreview, str, TimeFormat]], behaviours: pd.Series, *, given_split: bool, attributes: list[str]
) -> dict[str, Any]:
    """The sections by name. behaviours holds each event's share of rows; logs, each file's time column and clock."""
    extent = _joined([peek.extent(column, clock, _CUT) for peek, column, clock in logs])
    known, unknown = (extent.cut - extent.first) / _DAY, (extent.last - extent.cut) / _DAY
    next_days = _horizon(min(unknown / 2, known / 12))
    discovery_days = max(next_days, _horizon(min(unknown, known / 6)))
    return {
        "split": {
            "by": {"kind": "given"} if given_split else {"kind": "time", "cut": _CUT},
            "min_users_per_item": min_users_per_item(extent.rows),
            "target": [default_target(behaviours)],
        },
        "tasks": {
            "next": _task(next_days, known, repeats=True),
            "discovery": _task(discovery_days, known, repeats=False),
        },
        "blend": {task: {"attributes": attributes} for task in ("next", "discovery")} if attributes else {},
    }


def default_target(behaviours: pd.Series) -> str:
    """The strongest event on items of the catalogue that is at least a thousandth of the log."""
    shares = {str(name): float(share) for name, share in behaviours.items()}
    ranked = [event for event in reversed(Event) if event not in (Event.REDEEM, Event.IMPRESSION)]
    frequent = [event for event in ranked if shares.get(event, 0) >= _MIN_TARGET_SHARE]
    return str(frequent[0]) if frequent else str(Event.PURCHASE)


def min_users_per_item(rows: int) -> int:
    """How many users must know an item: more in a large log, which can afford to lose rare items."""
    return next(users for size, users in ((1_000_000, 10), (100_000, 5), (10_000, 3), (0, 2)) if rows >= size)


def grouping_columns(items: pd.DataFrame, ours: Mapping[str, str]) -> list[str]:
    """Columns whose values group the items: at least two groups, and two items in the mean group."""
    names = {theirs: role for role, theirs in ours.items()}
    left_out = {ours[role] for role in ("item", "title", "price") if role in ours}
    groups = {
        names.get(str(column), str(column)): items[column].nunique()
        for column in items.columns
        if column not in left_out and pd.to_numeric(items[column], errors="coerce").mod(1).fillna(0).eq(0).all()
    }
    grouping = [name for name, num in groups.items() if 2 <= num <= len(items) / 2]
    return sorted(grouping, key=lambda name: name not in ours)[:_MAX_ATTRIBUTES]


def _joined(extents: list[LogExtent]) -> LogExtent:
    """One extent over several files; their cut lies where it would if rows came evenly."""
    if len(extents) == 1:
        return extents[0]
    first, last = min(one.first for one in extents), max(one.last for one in extents)
    return LogExtent(first, first + _CUT * (last - first), last, sum(one.rows for one in extents))


def _horizon(days: float) -> float:
    """The longest customary horizon that fits."""
    return max((horizon for horizon in _HORIZONS if horizon <= days), default=_HORIZONS[0])


def _task(days: float, known: float, *, repeats: bool) -> dict[str, Any]:
    """Windows side by side over the younger half of what is known."""
    windows = min(_MAX_WINDOWS, max(1, int(known / 2 / days)))
    return {"horizon_days": days, "repeats": repeats, "windows": windows, "step_days": days}
