"""A clock that is hours or days off: the profile over the day or the week fits much better when it is moved."""

from collections.abc import Iterator

import numpy as np

from monitoring.drift.feed.comparison import FeedComparison, Statistic, change_point
from monitoring.drift.feed.fault import FeedFault
from monitoring.drift.feed.feed_log import FeedLog
from tierrec_core.base.contracts import FloatArray

_FLOORS = {"hours": 0.06, "weekdays": 0.02}  # of all rows, by which the moved profile fits better
_SUMMER_TIME = 1  # hours: a log in local time moves by these twice a year
_REMAINS = 0.5  # of the distance, at most, after the move
_WEEK = 7
_NOISE = 0.5  # times one over the root of the events: about half of the distance of two samples


def moved_clock(comparison: FeedComparison) -> Iterator[FeedFault]:
    """A fault when the profile over hours or weekdays is that of the reference moved by some."""
    excesses = [excess for name, floor in _FLOORS.items() for excess in comparison.excesses(_gain_of(name), floor)]
    for excess in excesses[:1]:
        usual = _profile(comparison.before, excess.name)
        move, near, moved = _best_move(usual, _profile(comparison.after, excess.name), excess.name)
        unit = "hours" if excess.name == "hours" else "days"
        day = _first_day(comparison, usual) if excess.name == "hours" else 0
        yield FeedFault.of(
            "clock",
            "the clock moved",
            f"the profile over the {excess.name} is that of the reference {move:+d} {unit} later: it differs by "
            f"{moved:.0%} then, by {near:.0%} as it is",
            f"a better fit by under {excess.limit:.0%}",
            since=comparison.span.start + day,
            sure=excess.sure(),
        )


def profile_gain(before: FeedLog, after: FeedLog, name: str) -> float:
    """How much better the profile over hours or weekdays fits when it is moved, as a share of the rows."""
    _, near, moved = _best_move(_profile(before, name), _profile(after, name), name)
    noise = _NOISE / np.sqrt(max(min(len(before.user_hours), len(after.user_hours)), 1))
    return near - moved - noise if moved <= _REMAINS * near else 0.0


def _gain_of(name: str) -> Statistic:
    return lambda before, after: {name: profile_gain(before, after, name)}


def _best_move(before: FloatArray, after: FloatArray, name: str) -> tuple[int, float, float]:
    """The move that fits best, and the distances of the profiles without and with it."""
    size, free = len(before), _SUMMER_TIME if name == "hours" else 0
    distance = np.array([np.abs(np.roll(before, move) - after).sum() / 2 for move in range(size)])
    move = int(distance.argmin())
    near = float(min(distance[-free:].min(), distance[: free + 1].min()) if free else distance[0])
    return (move if move <= size // 2 else move - size), near, float(distance[move])


def _profile(window: FeedLog, name: str) -> FloatArray:
    """Share of the users' hours with an event by hour of the day [24] or by weekday, per such day [7]."""
    start = int(np.floor(window.start))
    if name == "hours":
        count = np.bincount(window.user_hours % 24, minlength=24).astype(float)
    else:
        days = np.bincount((start + np.arange(window.num_days)) % _WEEK, minlength=_WEEK)
        count = np.bincount(window.user_hours // 24 % _WEEK, minlength=_WEEK) / np.maximum(days, 1)
    return count / max(float(count.sum()), 1.0)


def _first_day(comparison: FeedComparison, usual: FloatArray) -> int:
    return change_point(*(_daily_distance(window, usual) for window in (comparison.before, comparison.after)))


def _daily_distance(window: FeedLog, usual: FloatArray) -> FloatArray:
    """Distance of each day's profile over hours from the usual one, [D]."""
    day, hour = window.user_hours // 24 - int(np.floor(window.start)), window.user_hours % 24
    cell = np.clip(day, 0, window.num_days - 1) * 24 + hour
    count = np.bincount(cell, minlength=window.num_days * 24).reshape(-1, 24)
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    distance: FloatArray = np.abs(share - usual).sum(axis=1) / 2
    return distance
