"""Support sets: the few known events of a cold-start user, sampled from longer histories.

An episode has the histories as of a moment and the items of the users' next events; training on many episodes matches
the task at serving time (Vinyals et al., NeurIPS 2016).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions


@dataclass(frozen=True)
class SupportEpisode:
    """Histories as of one moment, and the target items that followed.

    history: of the users with a target event within the horizon, as of the moment, [U]
    targets: 1 for the items of these events, [U, I]
    popularity: log number of target events of each item in the window before the moment, [I]
    """

    history: Interactions
    targets: sparse.csr_matrix
    popularity: FloatArray

    @classmethod
    def at(
        cls, log: Interactions, target: tuple[str, ...], moment: float, horizon_days: float, window_days: float
    ) -> Self:
        """The episode at `moment`, in days since 1970."""
        future = log.where((log.day >= moment) & (log.day < moment + horizon_days)).filter_events(*target)
        past = log.before(moment)
        users = np.unique(future.user)
        return cls(past.select_users(users), future.binary_matrix()[users], popularity(past, target, window_days))


def episodes(
    log: Interactions, target: tuple[str, ...], count: int, horizon_days: float, window_days: float
) -> list[SupportEpisode]:
    """Between 1 and `count` episodes with adjacent horizons in the newer half of the log, newest first."""
    newest, middle = log.now - horizon_days, float(np.median(log.day))
    moments = newest - horizon_days * np.arange(count)
    moments = moments[moments >= middle] if newest >= middle else np.array([middle])
    return [SupportEpisode.at(log, target, float(moment), horizon_days, window_days) for moment in moments]


def popularity(history: Interactions, target: tuple[str, ...], window_days: float) -> FloatArray:
    """Log of 0.5 plus the number of target events of each item in the days before `history.now`, [I]."""
    recent = history.where(history.age <= window_days).filter_events(*target)
    count = np.bincount(recent.item, minlength=history.num_items)
    return np.asarray(np.log(count + 0.5), np.float32)


def newest_items(history: Interactions, count: IntArray | int, rng: np.random.Generator | None = None) -> Interactions:
    """The newest event of each of a user's `count` newest items; count is [U], or one number for all users.

    Ties, as in a basket, are broken at random, or by the order of the history if rng is None.
    """
    pair = history.user.astype(np.int64) * history.num_items + history.item
    by_pair = np.lexsort((history.day, pair))
    newest = by_pair[np.diff(pair[by_pair], append=-1) != 0]
    tie = -newest if rng is None else rng.random(len(newest))
    order = newest[np.lexsort((tie, -history.day[newest], history.user[newest]))]
    user = history.user[order]
    rank = np.arange(len(order)) - np.searchsorted(user, user)
    keep = np.zeros(len(history), bool)
    keep[order[rank < np.broadcast_to(count, history.num_users)[user]]] = True
    return history.where(keep)


def padded_items(history: Interactions, length: int) -> IntArray:
    """The items of histories of at most `length` events, padded with -1, [U, length]."""
    table = np.full((history.num_users, length), -1, np.int64)
    table[history.user, np.arange(len(history)) - history.offsets[history.user]] = history.item
    return table
