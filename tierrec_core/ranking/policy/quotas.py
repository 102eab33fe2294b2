"""Fills list positions under quotas: per category, seen items, exploration and exposure per item."""

from dataclasses import dataclass

import numpy as np

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

_ROUNDING = 1e-9  # tolerance for the floating-point error of share * positions


@dataclass(frozen=True)
class CandidatePool:
    """Each row's candidates, best first, [U, K] each.

    items: columns; allowed: whether the item may be listed at all; seen: whether the user interacted with it before
    category: a code; draws: random numbers in [0, 1) by which exploration items are chosen, negative for other items
    """

    items: IntArray
    allowed: BoolArray
    seen: BoolArray
    category: IntArray
    draws: FloatArray


@dataclass(frozen=True)
class Quotas:
    """Limits on the items of a list.

    Of the first n positions, at most ceil(share * n) hold seen items, and exactly floor(share * n) hold exploration
    items while there are any, so that a longer list begins as a shorter one.

    max_per_category: 0 = any number; repeats, exploration: shares by user, [U] and [U]
    max_lists: how many lists of the user's group may have one item among their first `exposed` positions, [U]
    group: of each user, [U]
    """

    max_per_category: int
    repeats: FloatArray
    exploration: FloatArray
    max_lists: IntArray
    group: IntArray
    exposed: int = 10


def fill_positions(pool: CandidatePool, quotas: Quotas, k: int) -> IntArray:
    """The candidate at each position, an index into the pool's K, -1 where no candidate is left, [U, k].

    An item that is in too many lists stays in those that rank it highest (deferred acceptance, Gale & Shapley 1962);
    the other lists take their next candidate, and the item itself after their first `exposed` positions.
    """
    count = min(k, quotas.exposed)
    excluded = np.zeros(pool.items.shape, bool)
    while True:
        excess = _overexposed(pool.items, _fill(pool, quotas, count, excluded), quotas)
        if not excess.any():
            return _fill(pool, quotas, k, excluded)
        excluded |= excess


def _fill(pool: CandidatePool, quotas: Quotas, k: int, excluded: BoolArray) -> IntArray:
    """Position by position, the first candidate that every quota allows, [U, k]."""
    rows = np.arange(len(pool.items))
    chosen = np.full((len(rows), k), -1, np.int64)
    available, num_seen = pool.allowed.copy(), np.zeros(len(rows))
    category = np.maximum(pool.category, 0)
    num_of_category = np.zeros((len(rows), int(category.max(initial=0)) + 1), np.int64)
    for position in range(k):
        max_seen = np.ceil(quotas.repeats * (position + 1) - _ROUNDING)
        fits = available & ~(pool.seen & (num_seen >= max_seen)[:, None])
        if quotas.max_per_category:
            fits &= num_of_category[rows[:, None], category] < quotas.max_per_category
        if position < quotas.exposed:
            fits &= ~excluded
        before, after = (np.floor(quotas.exploration * count + _ROUNDING) for count in (position, position + 1))
        best = _best(fits, pool.draws, after > before)
        user = np.flatnonzero(best >= 0)
        index = best[user]
        chosen[user, position] = index
        available[user, index] = False
        num_seen[user] += pool.seen[user, index]
        num_of_category[user, category[user, index]] += 1
        available[best < 0] = False
    return chosen


def _best(fits: BoolArray, draws: FloatArray, explores: BoolArray) -> IntArray:
    """The first that fits, or the exploration item of the highest draw where a row explores; -1 if none fits, [U]."""
    best = fits.argmax(axis=1)
    if explores.any():
        drawn = np.where(fits, draws, -1.0)
        best = np.where(explores & (drawn.max(axis=1) >= 0), drawn.argmax(axis=1), best)
    return np.where(fits.any(axis=1), best, -1)


def _overexposed(items: IntArray, chosen: IntArray, quotas: Quotas) -> BoolArray:
    """The chosen candidates that are in too many lists, in the lists that rank them lowest, [U, K]."""
    row, position = np.nonzero(chosen >= 0)
    index = chosen[row, position]
    item, group = items[row, index], quotas.group[row]
    order = np.lexsort((row, position, item, group))
    same = np.r_[False, (np.diff(item[order]) == 0) & (np.diff(group[order]) == 0)]
    start = np.flatnonzero(~same)
    num_before = np.arange(len(order)) - np.repeat(start, np.diff(np.r_[start, len(order)]))
    excess = order[num_before >= quotas.max_lists[row[order]]]
    overexposed = np.zeros(items.shape, bool)
    overexposed[row[excess], index[excess]] = True
    return overexposed
