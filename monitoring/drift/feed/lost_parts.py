"""A category or a channel whose rows end on one day while the others hold."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from monitoring.drift.feed.comparison import FeedComparison
from monitoring.drift.feed.fault import FeedFault
from monitoring.drift.feed.feed_log import FeedLog
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.settings.loop import FaultKind

_LEFT = 0.05  # of the expected rows at most
_MIN_EXPECTED = 40.0  # rows
_WEEK = 7
_ABRUPT = 0.5  # of the expected rows in the week before, at least: a season fades
_STEADY = 0.4  # of the share in the reference window, in each earlier one
_UNNAMED = 0.01  # of the rows
_HOLDS = 0.6  # of the others' rows


def lost_parts(comparison: FeedComparison) -> Iterator[FeedFault]:
    """A fault for a channel, and for categories, that ended."""
    kinds: dict[str, tuple[FaultKind, tuple[str, ...]]] = {
        "channel": ("lost_channel", comparison.after.channels),
        "category": ("lost_category", comparison.after.categories),
    }
    for what, (kind, parts) in kinds.items():
        excesses = comparison.excesses(partial(ended_rows, what=what), 1.0)
        steady = _steady_parts(comparison, what)
        named = [excess.name for excess in excesses if excess.name in steady]
        if not named or len(named) > max(1, len(parts) // 2):
            continue
        day, expected, found = ends(comparison.before, comparison.after, what)[named[0]]
        listed = ", ".join(map(repr, named[:3])) + (" and more" if len(named) > 3 else "")
        yield FeedFault.of(
            kind,
            f"the feed of {what} {listed} ended",
            f"{found:,.0f} events from that day on",
            f"about {expected:,.0f}, as the others hold",
            since=comparison.span.start + day,
            sure=excesses[0].sure(),
        )


def _steady_parts(comparison: FeedComparison, what: str) -> set[str]:
    """Parts with a similar share in every window before: a season comes and goes."""
    windows = [comparison.before, *(before for before, _ in comparison.past)]
    rows = np.stack([window.daily_by(what).sum(axis=1) for window in windows])
    share = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)
    names = comparison.after.channels if what == "channel" else comparison.after.categories
    return {names[code] for code in np.flatnonzero(share.min(axis=0) >= _STEADY * share[0])}


def ended_rows(before: FeedLog, after: FeedLog, what: str) -> Mapping[str, float]:
    """Expected rows of each part that ended abruptly, since it ended."""
    return {name: expected for name, (_, expected, _) in ends(before, after, what).items()}


def ends(before: FeedLog, after: FeedLog, what: str) -> dict[str, tuple[int, float, float]]:
    """By part that ended: the day on which it did, and the rows expected and found since."""
    old, new = (window.daily_by(what) for window in (before, after))
    if what == "channel" and after.unnamed_channel > before.unnamed_channel + _UNNAMED:
        return {}  # its rows may still come, without a name
    share = old.sum(axis=1) / max(old.sum(), 1)
    names = after.channels if what == "channel" else after.categories
    found = {}
    for code in np.flatnonzero((old.sum(axis=1) >= _MIN_EXPECTED) & (share <= _HOLDS)):
        others_before, others = old.sum(axis=0) - old[code], new.sum(axis=0) - new[code]
        if others.sum() < _HOLDS * others_before.sum() * after.num_days / before.num_days:
            continue
        end = _end(old[code], new[code], share[code] / (1 - share[code]) * others)
        if end is not None:
            found[names[code]] = end
    return found


def _end(old: IntArray, new: IntArray, expected: FloatArray) -> tuple[int, float, float] | None:
    """The first day since which hardly a row comes, if a part did not fade before, with rows expected and found."""
    due, rows = expected[::-1].cumsum()[::-1], new[::-1].cumsum()[::-1]
    silent = np.flatnonzero((due >= _MIN_EXPECTED) & (rows <= _LEFT * due))
    if not len(silent):
        return None
    day = int(silent[0])
    week = np.concatenate([old, new])[len(old) + day - _WEEK : len(old) + day]
    return (day, float(due[day]), float(rows[day])) if week.sum() >= _ABRUPT * old.mean() * _WEEK else None
