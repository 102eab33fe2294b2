"""Users who act like machines: at even intervals, or with many events and never a purchase."""

from collections.abc import Iterator, Mapping

import numpy as np

from monitoring.drift.feed.comparison import FeedComparison, change_point
from monitoring.drift.feed.fault import FeedFault
from monitoring.drift.feed.feed_log import FeedLog
from tierrec_core.base.contracts import BoolArray, Event, FloatArray, IntArray

_MIN_GAP, _MAX_GAP = 300.0, 6 * 3_600.0  # seconds: shorter ones are steps of a visit, longer ones nights
_RUN = 15  # equal steps in a row
_MIN_GAPS = 12
_EVEN = 0.05  # relative deviation from a user's median gap
_EVEN_SHARE = 0.6  # of a machine's gaps
_MIN_EVENTS = 10
_FLOOR = 0.01  # of all rows
_EVENLY, _UNCONVERTED = "at even intervals", "without a purchase"


def machines(comparison: FeedComparison) -> Iterator[FeedFault]:
    """A fault when machines make more of the events than in the reference."""
    for excess in comparison.excesses(machine_shares, _FLOOR)[:1]:
        before, after = (_MACHINES[excess.name](window) for window in (comparison.before, comparison.after))
        rows = after[comparison.after.user]
        known = np.bincount(comparison.before.user, minlength=len(after)) > 0
        items = len(np.unique(comparison.after.item[rows]))
        daily = [
            window.daily(mask[window.user]) * 1.0
            for window, mask in ((comparison.before, before), (comparison.after, after))
        ]
        yield FeedFault.of(
            "bots",
            "users act like machines",
            f"{after.sum():,} users ({(after & known).sum():,} of them known before) made {rows.mean():.1%} of the "
            f"events {excess.name}, on {items:,} items",
            f"under {excess.limit:.1%} more than in the reference",
            since=comparison.span.start + change_point(*daily),
            sure=excess.sure(),
        )


def machine_shares(before: FeedLog, after: FeedLog) -> Mapping[str, float]:
    """Increase of the share of the rows by each sort of machine."""
    return {name: _row_share(after, find(after)) - _row_share(before, find(before)) for name, find in _MACHINES.items()}


def even_users(window: FeedLog) -> BoolArray:
    """Users whose visits are about equally far apart, or who act in long runs of equal steps, [U]."""
    second, user = window.user_seconds
    gap, owner = np.diff(second), user[1:]
    within_day = (user[1:] == user[:-1]) & (gap <= _MAX_GAP)
    visits = within_day & (gap >= _MIN_GAP)
    return _same_gaps(gap[visits], owner[visits], len(window.users)) | _long_runs(gap, owner, within_day, window)


def _same_gaps(gap: FloatArray, owner: IntArray, num_users: int) -> BoolArray:
    """Users most of whose gaps are near their median gap, [U]."""
    count = np.bincount(owner, minlength=num_users)
    order = np.lexsort((gap, owner))
    first = np.cumsum(count) - count
    middle = np.append(gap[order], 0.0)[np.minimum(first + count // 2, len(gap))]
    even = np.abs(gap - middle[owner]) <= _EVEN * middle[owner]
    num_even = np.bincount(owner[even], minlength=num_users)
    return (count >= _MIN_GAPS) & (num_even >= _EVEN_SHARE * count)


def _long_runs(gap: FloatArray, owner: IntArray, usable: BoolArray, window: FeedLog) -> BoolArray:
    """Users half of whose gaps lie in runs of steps that are each as long as the one before, [U]."""
    equal = usable[1:] & usable[:-1] & (np.abs(np.diff(gap)) <= np.maximum(_EVEN * gap[:-1], 1.0))
    start = np.append(True, ~equal)[: len(gap)]
    run = np.cumsum(start) - 1
    long = np.bincount(run)[run] >= _RUN if len(gap) else usable
    count, in_runs = (np.bincount(owner[mask], minlength=len(window.users)) for mask in (usable, usable & long))
    found: BoolArray = (in_runs >= _RUN) & (in_runs >= count / 2)
    return found


def unconverted_users(window: FeedLog) -> BoolArray:
    """Users with many events and no purchase, in a log with both, [U]."""
    if Event.PURCHASE not in window.kinds or len(window.kinds) < 2:
        return np.zeros(len(window.users), bool)
    bought = window.kind == window.kinds.index(Event.PURCHASE)
    rows, purchases = (_count(window, mask) for mask in (~bought, bought))
    found: BoolArray = (rows >= _MIN_EVENTS) & (purchases == 0)
    return found


_MACHINES = {_EVENLY: even_users, _UNCONVERTED: unconverted_users}


def _count(window: FeedLog, mask: BoolArray) -> IntArray:
    return np.bincount(window.user[mask], minlength=len(window.users))


def _row_share(window: FeedLog, users: BoolArray) -> float:
    return float(users[window.user].mean()) if window.num_rows else 0.0
