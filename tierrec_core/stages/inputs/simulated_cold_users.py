"""Newcomers made of known users: what a blend learns of those whom no model has met.

A share of the users is hidden from the models of every snapshot but the final one, and each of them is shown by few
of their newest items. Were they not hidden, a model would find a newcomer's whole past in its memory, and the blend
would learn to trust neighbours more than strangers have reason to.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from tierrec_core.base.contracts import BoolArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog, Window
from tierrec_core.data.support_sets import newest_items

SUPPORTS = (0, 1, 2, 3, 5, 8)


def are_hidden(num_users: int, share: float, seed: int) -> BoolArray:
    """Whether each user is hidden from the models of earlier snapshots, [U]."""
    chosen = np.zeros(num_users, bool)
    chosen[np.random.default_rng(seed).permutation(num_users)[: int(share * num_users)]] = True
    return chosen


def known_only(log: SplitLog, snapshot: str, share: float, seed: int) -> Interactions:
    """The snapshot's history without the events of hidden users, who keep their rows; the final one is whole."""
    history = log.history(snapshot)
    if snapshot == log.final.name:
        return history
    return history.where(~are_hidden(log.log.num_users, share, seed)[history.user])


@dataclass(frozen=True)
class SimulatedColdUsers:
    """Hidden users who took something in a window, each once for every number of SUPPORTS, [N].

    history: their supports as of the window's snapshot, [N]
    truth: what they took, rows of the history and columns, [P] and [P]
    """

    history: Interactions
    truth: tuple[IntArray, IntArray]

    @classmethod
    def of(cls, log: SplitLog, window: Window, share: float, seed: int) -> Self:
        """The same ones at each call. Without repeats, what a support shows is not to be found again."""
        user, item = log.truth(replace(window, repeats=True))
        hidden = np.flatnonzero(are_hidden(log.log.num_users, share, seed))
        rows = hidden[np.isin(hidden, user)]
        whole = log.history(window.snapshot).select_users(np.tile(rows, len(SUPPORTS)))
        count = np.repeat(np.array(SUPPORTS), len(rows))
        support = newest_items(whole, count, np.random.default_rng(seed))
        mine = np.isin(user, rows)
        place = np.searchsorted(rows, user[mine])
        copies = (place + len(rows) * np.arange(len(SUPPORTS))[:, None]).ravel()
        taken = copies * log.log.num_items + np.tile(item[mine], len(SUPPORTS))
        if not window.repeats:
            taken = np.setdiff1d(taken, np.stack(support.unique_pairs()).T @ [log.log.num_items, 1])
        return cls(support, (taken // log.log.num_items, taken % log.log.num_items))
