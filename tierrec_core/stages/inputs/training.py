"""Training data of models and simulated cold-start users for training the ranker.

A share of the users is hidden from the models of all snapshots but the final one, and the ranker is trained on a few of
their newest items. If they were not hidden, the models would have learned from their complete histories, and the ranker
would overestimate the models' accuracy for real cold-start users.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import BoolArray, IntArray
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog, Window
from tierrec_core.data.support_sets import newest_items
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Settings
from tierrec_core.tiers import Tiering

SUPPORTS = (0, 1, 2, 3, 5, 8)


def are_hidden(num_users: int, share: float, seed: int) -> BoolArray:
    """Whether each user is hidden from the models of all snapshots but the final one, [U]."""
    hidden = np.zeros(num_users, bool)
    hidden[np.random.default_rng(seed).permutation(num_users)[: int(share * num_users)]] = True
    return hidden


def visible_history(log: SplitLog, snapshot: str, share: float, seed: int) -> Interactions:
    """The snapshot's history without the events of hidden users, who keep their rows; the final one is complete."""
    history = log.history(snapshot)
    if snapshot == log.final.name:
        return history
    return history.where(~are_hidden(log.log.num_users, share, seed)[history.user])


def read_training(
    layout: Layout, settings: Settings, log: SplitLog, snapshot: str, *, hide_cold_users: bool = False
) -> Training:
    """The training data as of the snapshot; models are fitted without the hidden cold-start users."""
    served = (window.task for window in log.windows if window.snapshot == snapshot)
    share = settings.simulated_cold_share(served) if hide_cold_users else 0.0
    return Training(
        history=visible_history(log, snapshot, share, settings.seed),
        items=pd.read_parquet(layout.items),
        tiering=artifacts.load(Tiering, layout.tiering(snapshot)),
        target=log.target,
        seed=settings.seed,
        guests=log.guest_history(snapshot),
    )


@dataclass(frozen=True)
class SimulatedColdUsers:
    """Hidden users with a target event in a window, once for every support size of SUPPORTS, [N].

    history: their newest items as of the window's snapshot, [N]
    truth: their target pairs as rows of the history and columns, [P] and [P]
    """

    history: Interactions
    truth: tuple[IntArray, IntArray]

    @classmethod
    def of(cls, log: SplitLog, window: Window, share: float, seed: int) -> Self:
        """Deterministic for a seed. In a window without repeats, items of the history are not targets."""
        user, item = log.truth(replace(window, repeats=True))
        hidden = np.flatnonzero(are_hidden(log.log.num_users, share, seed))
        rows = hidden[np.isin(hidden, user)]
        full_history = log.history(window.snapshot).select_users(np.tile(rows, len(SUPPORTS)))
        count = np.repeat(np.array(SUPPORTS), len(rows))
        support = newest_items(full_history, count, np.random.default_rng(seed))
        is_hidden = np.isin(user, rows)
        index = np.searchsorted(rows, user[is_hidden])
        copies = (index + len(rows) * np.arange(len(SUPPORTS))[:, None]).ravel()
        pairs = copies * log.log.num_items + np.tile(item[is_hidden], len(SUPPORTS))
        if not window.repeats:
            pairs = np.setdiff1d(pairs, np.stack(support.unique_pairs()).T @ [log.log.num_items, 1])
        return cls(support, (pairs // log.log.num_items, pairs % log.log.num_items))
