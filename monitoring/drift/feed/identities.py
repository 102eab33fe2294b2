"""Users or items that vanish while as many new ones behave like them, and users who vanish at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

import numpy as np
from scipy import sparse
from sklearn.preprocessing import normalize

from monitoring.drift.feed.comparison import FeedComparison, change_point
from monitoring.drift.feed.fault import FeedFault
from monitoring.drift.feed.feed_log import FeedLog
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

Axis = Literal["user", "item"]
_REGULAR_DAYS = 4  # with an event in a window
_REPLACED_FLOOR, _LOST_FLOOR = 0.05, 0.15  # of the rows of regulars
_HOLDS = 0.7  # of the others' rows
_MAX_COMPARED = 400
_MATCHED = 0.6  # of the new ones resemble one that vanished more than any that stayed; .5 by chance
_ALL = 0.9


@dataclass(frozen=True)
class Replacement:
    """Regular users or items of the earlier window that vanished, and new ones of the later window.

    gone, stayed, new: masks over all users or items, [E]
    vanished: share of the regulars' rows by those who vanished; arrived: of the later window's rows by new ones
    """

    gone: BoolArray
    stayed: BoolArray
    new: BoolArray
    vanished: float
    arrived: float

    @classmethod
    def of(cls, before: FeedLog, after: FeedLog, axis: Axis) -> Self:
        """Compare two windows."""
        (old_rows, old_days), (new_rows, new_days) = (_activity(window, axis) for window in (before, after))
        regular = old_days >= _REGULAR_DAYS
        gone, stayed = regular & (new_rows == 0), regular & (new_rows > 0)
        new = (new_days >= _REGULAR_DAYS) & (old_rows == 0)
        return cls(
            gone,
            stayed,
            new,
            float(old_rows[gone].sum() / max(old_rows[regular].sum(), 1)),
            float(new_rows[new].sum() / max(new_rows[new_days >= _REGULAR_DAYS].sum(), 1)),
        )


def replaced_users(comparison: FeedComparison) -> Iterator[FeedFault]:
    """A fault when users vanished, and new ones with the same taste make as many events."""
    for excess in comparison.excesses(partial(_replaced, axis="user"), _REPLACED_FLOOR):
        found = Replacement.of(comparison.before, comparison.after, "user")
        matched = resemblance(comparison, found, "user")
        if matched < _MATCHED:
            return
        yield FeedFault.of(
            "rekeyed_users",
            "users have new ids",
            f"{found.gone.sum():,} regular users with {found.vanished:.0%} of the events vanished, and "
            f"{found.new.sum():,} new ones make {found.arrived:.0%}; {matched:.0%} of these resemble a vanished user",
            f"under {excess.limit:.0%} of both",
            since=_first_day(comparison, found, "user"),
            sure=excess.sure(),
        )


def relisted_items(comparison: FeedComparison, content: IntArray) -> Iterator[FeedFault]:
    """A fault when items vanished, and new ones with the same content, or bought by the same users, replace them.

    content: hash of each item's title and brand, 0 where unknown, [I]
    """
    for excess in comparison.excesses(partial(_replaced, axis="item"), _REPLACED_FLOOR):
        found = Replacement.of(comparison.before, comparison.after, "item")
        same = np.isin(content[found.new], content[found.gone & (content != 0)]).mean()
        matched = max(float(same), resemblance(comparison, found, "item"))
        if matched < _MATCHED:
            return
        yield FeedFault.of(
            "relisting",
            "items have new ids",
            f"{found.gone.sum():,} regular items with {found.vanished:.0%} of the events vanished, and "
            f"{found.new.sum():,} new ones make {found.arrived:.0%}; {same:.0%} of these have the title and brand of "
            "a vanished item",
            f"under {excess.limit:.0%} of both",
            since=_first_day(comparison, found, "item"),
            sure=excess.sure(),
        )


def lost_users(comparison: FeedComparison) -> Iterator[FeedFault]:
    """A fault when many regular users vanished at once, and no new ones came, while the others are as active."""
    for excess in comparison.excesses(_lost, _LOST_FLOOR):
        found = Replacement.of(comparison.before, comparison.after, "user")
        yield FeedFault.of(
            "lost_users",
            "regular users vanished",
            f"{found.gone.sum():,} of {(found.gone | found.stayed).sum():,} regular users, with {found.vanished:.0%} "
            "of the events, have none, while the others are as active as before",
            f"under {excess.limit:.0%}",
            since=_first_day(comparison, found, "user"),
            sure=excess.sure(),
        )


def resemblance(comparison: FeedComparison, found: Replacement, axis: Axis) -> float:
    """Share of the new ones who resemble one that vanished more than any of as many that stayed; 1 when all left."""
    if found.vanished > _ALL and found.arrived > _ALL:
        return 1.0
    rng = np.random.default_rng(0)
    new, gone, stayed = (_sample(mask, rng) for mask in (found.new, found.gone, found.stayed))
    size = min(len(gone), len(stayed))
    if not size or not len(new):
        return 0.0
    before, after = (_profiles(window, axis) for window in (comparison.before, comparison.after))
    nearest = [
        (after[new] @ before[rng.permutation(others)[:size]].T).max(axis=1).toarray().ravel()
        for others in (gone, stayed)
    ]
    return float((nearest[0] > nearest[1]).mean() + (nearest[0] == nearest[1]).mean() / 2)


def _replaced(before: FeedLog, after: FeedLog, axis: Axis) -> Mapping[str, float]:
    found = Replacement.of(before, after, axis)
    return {axis: min(found.vanished, found.arrived)}


def _lost(before: FeedLog, after: FeedLog) -> Mapping[str, float]:
    """Share of the regulars' rows by users who vanished beyond that of new ones; 0 when the others fall, too."""
    found = Replacement.of(before, after, "user")
    old, new = (_activity(window, "user")[0][found.stayed].sum() / window.num_days for window in (before, after))
    holds = new >= _HOLDS * old
    return {"users": found.vanished - found.arrived if holds else 0.0}


def _activity(window: FeedLog, axis: Axis) -> tuple[IntArray, IntArray]:
    """Rows, and days with one, of each user or item, [E] each."""
    codes, size = (window.user, len(window.users)) if axis == "user" else (window.item, len(window.items))
    days = np.unique(codes.astype(np.int64) * window.num_days + window.day) // window.num_days
    return np.bincount(codes, minlength=size), np.bincount(days, minlength=size)


def _profiles(window: FeedLog, axis: Axis) -> sparse.csr_matrix:
    """Items of each user, or users of each item, log counts with rare ones weighted up, rows of length 1."""
    shape = len(window.users), len(window.items)
    counts = sparse.coo_matrix((np.ones(window.num_rows), (window.user, window.item)), shape).tocsr()
    counts = counts if axis == "user" else counts.T.tocsr()
    counts.data = np.log1p(counts.data)
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    weight = np.log((1 + counts.shape[0]) / (1 + frequency))
    return normalize(counts @ sparse.diags(weight)).tocsr()


def _sample(mask: BoolArray, rng: np.random.Generator) -> IntArray:
    codes = np.flatnonzero(mask)
    return codes if len(codes) <= _MAX_COMPARED else rng.choice(codes, _MAX_COMPARED, replace=False)


def _first_day(comparison: FeedComparison, found: Replacement, axis: Axis) -> float:
    """The day on which the vanished fell silent."""
    daily = []
    for window in (comparison.before, comparison.after):
        codes = window.user if axis == "user" else window.item
        rows: FloatArray = window.daily((found.gone | found.new)[codes]) * 1.0
        daily.append(window.daily(found.gone[codes]) - rows * 0.5)
    return comparison.span.start + change_point(*daily)
