"""Support sets: the few events by which a newcomer is known, cut out of longer histories.

A moment of the log at which some users are known by a support, with what they took next, is an episode, and to learn
from many is to learn from what one will be asked (Vinyals et al., NeurIPS 2016).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions


@dataclass(frozen=True)
class SupportEpisode:
    """What was known at one moment, and what came of it.

    history: of the users who took something within the horizon, as of the moment, [U]
    taken: 1 for what they took, [U, I]
    popularity: log of how often each item was taken in the window before the moment, [I]
    """

    history: Interactions
    taken: sparse.csr_matrix
    popularity: FloatArray

    @classmethod
    def at(
        cls, log: Interactions, target: tuple[str, ...], moment: float, horizon_days: float, window_days: float
    ) -> Self:
        """The world as it was known at the moment, in days since 1970."""
        soon = log.where((log.day >= moment) & (log.day < moment + horizon_days)).filter_events(*target)
        known = log.before(moment)
        users = np.flatnonzero(np.bincount(soon.user, minlength=log.num_users))
        return cls(known.select_users(users), soon.binary_matrix()[users], popularity(known, target, window_days))


def episodes(
    log: Interactions, target: tuple[str, ...], count: int, horizon_days: float, window_days: float
) -> list[SupportEpisode]:
    """Up to `count` episodes, one horizon after the other up to the log's end and in its newer half; at least one."""
    newest, middle = log.now - horizon_days, float(np.median(log.day))
    moments = newest - horizon_days * np.arange(count)
    moments = moments[moments >= middle] if newest >= middle else np.array([middle])
    return [SupportEpisode.at(log, target, float(moment), horizon_days, window_days) for moment in moments]


def popularity(history: Interactions, target: tuple[str, ...], window_days: float) -> FloatArray:
    """Log of how often each item was taken in the days before `history.now`, a half more than counted, [I]."""
    recent = history.where(history.age <= window_days).filter_events(*target)
    count = np.bincount(recent.item, minlength=history.num_items)
    logs: FloatArray = np.log(count + 0.5).astype(np.float32)
    return logs


def newest_items(history: Interactions, count: IntArray | int, rng: np.random.Generator | None = None) -> Interactions:
    """Each user's `count` last met items, [U] or one for all, each with its newest event alone.

    Of items that were met at one moment, as in a basket, chance decides which are the newer; without chance the later
    in the history are.
    """
    newest = _newest_of_each_item(history)
    tie = -newest if rng is None else rng.random(len(newest))
    order = newest[np.lexsort((tie, -history.day[newest], history.user[newest]))]
    user = history.user[order]
    place = np.arange(len(order)) - np.searchsorted(user, user)
    kept = np.zeros(len(history), bool)
    kept[order[place < np.broadcast_to(count, history.num_users)[user]]] = True
    return history.where(kept)


def padded_items(history: Interactions, length: int) -> IntArray:
    """The items of histories of at most `length` events, -1 behind them, [U, length]."""
    table = np.full((history.num_users, length), -1, np.int64)
    table[history.user, np.arange(len(history)) - history.offsets[history.user]] = history.item
    return table


def _newest_of_each_item(history: Interactions) -> IntArray:
    """The newest event of each pair of a user and an item, [P]."""
    code = history.user.astype(np.int64) * history.num_items + history.item
    order = np.lexsort((history.day, code))
    last = np.ones(len(order), bool)
    last[:-1] = np.diff(code[order]) != 0
    return order[last]
