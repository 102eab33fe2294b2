"""Events that come twice within seconds or hours, and kinds of events that are doubled or partly lost."""

from collections.abc import Iterator, Mapping

import numpy as np

from monitoring.drift.feed.comparison import FeedComparison, change_point
from monitoring.drift.feed.fault import FeedFault
from monitoring.drift.feed.feed_log import FeedLog
from tierrec_core.base.contracts import BoolArray, FloatArray

_SCALES = {"10 seconds": 10.0, "two hours": 7_200.0}
_REPEAT_FLOOR = 0.02  # of all rows
_FLOOR = 0.2  # of the log ratio
_SIGMAS = 4.0  # of the sampling error, by which a change is reduced
_MIN_ROWS = 100
_BLOCKS = 6  # of four hours


def repeated_events(comparison: FeedComparison) -> Iterator[FeedFault]:
    """A fault when the share of events that are repeated soon after jumped."""
    for excess in comparison.excesses(repeat_shares, _REPEAT_FLOOR)[:1]:
        before, after = (_repeated(window, excess.name) for window in (comparison.before, comparison.after))
        daily = [
            window.daily(mask) / np.maximum(window.daily(), 1)
            for window, mask in ((comparison.before, before), (comparison.after, after))
        ]
        yield FeedFault.of(
            "near_duplicates",
            "events come twice",
            f"{after.mean():.1%} of the events repeat one of the same user, item and kind within {excess.name}, "
            f"{before.mean():.1%} in the reference",
            f"under {before.mean() + excess.limit:.1%}",
            since=comparison.span.start + change_point(*daily),
            sure=excess.sure(),
        )


def repeat_shares(before: FeedLog, after: FeedLog) -> Mapping[str, float]:
    """Increase of the share of repeated events, by the time within which they are repeated."""
    return {name: float(_repeated(after, name).mean() - _repeated(before, name).mean()) for name in _SCALES}


def _repeated(window: FeedLog, name: str) -> BoolArray:
    """Rows that repeat an earlier one, but not at the same instant: those are counted as duplicate rows, [N]."""
    gap = window.repeat_seconds
    return (gap > 0) & (gap <= _SCALES[name])


def changed_ratios(comparison: FeedComparison) -> Iterator[FeedFault]:
    """A fault when one kind of event became more or less frequent relative to all others."""
    excesses = comparison.excesses(log_ratio_changes, _FLOOR)
    if not excesses:
        return
    worst = excesses[0]
    kind = worst.name.partition(" events")[0]
    change = dict(_changes(comparison.before, comparison.after))[worst.name]
    daily = [_daily_share(window, kind) for window in (comparison.before, comparison.after)]
    verb = "more" if change > 0 else "fewer"
    yield FeedFault.of(
        "event_ratio",
        f"there are {verb} {worst.name} than before",
        f"{np.exp(change):.2f} times as many per event of other kinds as in the reference",
        f"{np.exp(-worst.limit):.2f} to {np.exp(worst.limit):.2f} times",
        since=comparison.span.start + change_point(*daily),
        sure=worst.sure(),
    )


def log_ratio_changes(before: FeedLog, after: FeedLog) -> Mapping[str, float]:
    """Size of the change of each kind's log ratio to all others beyond its sampling error, by part of the log."""
    return {name: abs(change) for name, change in _changes(before, after)}


def _changes(before: FeedLog, after: FeedLog) -> Iterator[tuple[str, float]]:
    for (part, old_mask), (_, new_mask) in zip(_parts(before), _parts(after), strict=True):
        old, new = (
            np.bincount(window.kind[mask], minlength=len(window.kinds)).astype(float)
            for window, mask in ((before, old_mask), (after, new_mask))
        )
        for code, kind in enumerate(before.kinds):
            counts = np.array([new[code], new.sum() - new[code], old[code], old.sum() - old[code]])
            if counts[2:].min() < _MIN_ROWS or new.sum() < _MIN_ROWS:
                continue
            counts = counts + 0.5
            change = np.log(counts[0] / counts[1]) - np.log(counts[2] / counts[3])
            error = _SIGMAS * np.sqrt((1 / counts).sum())
            yield f"{kind} events{part}", float(np.sign(change) * max(abs(change) - error, 0.0))


def _parts(window: FeedLog) -> Iterator[tuple[str, BoolArray]]:
    yield "", np.ones(window.num_rows, bool)
    if len(window.channels) > 1:
        for code, name in enumerate(window.channels):
            yield f" of channel {name!r}", window.channel == code
    block = window.hour // (24 // _BLOCKS)
    for number in range(_BLOCKS):
        hours = number * 24 // _BLOCKS
        yield f" from {hours:02} to {hours + 24 // _BLOCKS:02} h UTC", block == number


def _daily_share(window: FeedLog, kind: str) -> FloatArray:
    mask = window.kind == window.kinds.index(kind)
    return window.daily(mask) / np.maximum(window.daily(), 1)
