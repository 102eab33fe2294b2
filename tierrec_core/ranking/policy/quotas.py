"""Fills list positions under quotas: per category, seen items, exploration and exposure per item."""

from dataclasses import dataclass

import numpy as np

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

_NOBODY = -1


@dataclass(frozen=True)
class CandidatePool:
    """What may get a place: each row's candidates, best first, [U, K] each.

    items: columns; allowed: whether it may be shown at all; met: whether the user met it before
    category: a code; lots: by which a trial place is drawn, in [0, 1), negative where the item is no trial
    """

    items: IntArray
    allowed: BoolArray
    met: BoolArray
    category: IntArray
    lots: FloatArray


@dataclass(frozen=True)
class Quotas:
    """How many places of what; a share s of the first n places is at most ceil(s n) for items met before, and
    exactly floor(s n) for trials while there are any, so that a longer list begins as a shorter one.

    most_of_category: 0 = any number; repeats, trials: shares by user, [U] and [U]
    most_shown: how many of the lists of the user's group may show one item among their first `shown` places, [U]
    group: of each user, [U]
    """

    most_of_category: int
    repeats: FloatArray
    trials: FloatArray
    most_shown: IntArray
    group: IntArray
    shown: int = 10


def fill(pool: CandidatePool, quotas: Quotas, k: int) -> IntArray:
    """Which candidate has each place, an index into the pool's K, -1 where nothing more may be shown, [U, k].

    An item that more lists want to show than may is kept by those that have it highest (deferred acceptance, Gale &
    Shapley 1962); each other list shows what comes next, and the item after its first `shown` places.
    """
    count = min(k, quotas.shown)
    refused = np.zeros(pool.items.shape, bool)
    while True:
        over = _over(pool.items, _places(pool, quotas, count, refused), quotas)
        if not over.any():
            return _places(pool, quotas, k, refused)
        refused |= over


def _places(pool: CandidatePool, quotas: Quotas, k: int, refused: BoolArray) -> IntArray:
    """Place by place, the first candidate that every quota lets through."""
    rows = np.arange(len(pool.items))
    chosen = np.full((len(rows), k), _NOBODY, np.int64)
    free, met = pool.allowed.copy(), np.zeros(len(rows))
    crowd = np.zeros((len(rows), int(pool.category.max(initial=0)) + 1), np.int64)
    category = np.maximum(pool.category, 0)
    for place in range(k):
        fits = free & ~(pool.met & (met >= _ceil(quotas.repeats * (place + 1)))[:, None])
        if quotas.most_of_category:
            fits &= crowd[rows[:, None], category] < quotas.most_of_category
        if place < quotas.shown:
            fits &= ~refused
        best = _best(fits, pool.lots, _floor(quotas.trials * (place + 1)) > _floor(quotas.trials * place))
        found = best >= 0
        who, which = rows[found], best[found]
        chosen[who, place] = which
        free[who, which] = False
        met[who] += pool.met[who, which]
        crowd[who, category[who, which]] += 1
        free[~found] = False
    return chosen


def _best(fits: BoolArray, lots: FloatArray, trial: BoolArray) -> IntArray:
    """The first that fits, or on a trial place the highest lot among those that are trials; -1 where none fits, [U]."""
    best = fits.argmax(axis=1)
    if trial.any():
        drawn = np.where(fits, lots, -1.0)
        best = np.where(trial & (drawn.max(axis=1) >= 0), drawn.argmax(axis=1), best)
    return np.where(fits.any(axis=1), best, _NOBODY)


def _over(items: IntArray, chosen: IntArray, quotas: Quotas) -> BoolArray:
    """Which chosen candidates are too many lists' choice and stand lowest there, [U, K]."""
    row, place = np.nonzero(chosen >= 0)
    which = chosen[row, place]
    item, group = items[row, which], quotas.group[row]
    order = np.lexsort((row, place, item, group))
    same = np.r_[False, (np.diff(item[order]) == 0) & (np.diff(group[order]) == 0)]
    start = np.flatnonzero(~same)
    turn = np.arange(len(order)) - np.repeat(start, np.diff(np.r_[start, len(order)]))
    late = order[turn >= quotas.most_shown[row[order]]]
    over = np.zeros(items.shape, bool)
    over[row[late], which[late]] = True
    return over


def _ceil(values: FloatArray) -> FloatArray:
    """Rounded up, a hair of floating point aside."""
    rounded: FloatArray = np.ceil(values - 1e-9)
    return rounded


def _floor(values: FloatArray) -> FloatArray:
    rounded: FloatArray = np.floor(values + 1e-9)
    return rounded
