"""The recommender of replays, which fits in seconds: TIFU-KNN (Hu et al., SIGIR 2020)."""

import time
from dataclasses import dataclass, replace
from typing import Self, cast

import numpy as np
import pandas as pd

from monitoring.simulation.world import ReplayWorld
from tierrec_core.base.contracts import IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.models.tifu_knn import TifuKnn
from tierrec_core.protocols.model import Retriever, Training
from tierrec_core.ranking.catalogue import rank_catalogue
from tierrec_core.settings import TierSettings
from tierrec_core.tiers import Tiering


@dataclass(frozen=True)
class ReplayRecommender:
    """The recommender as of one day.

    cut: the day before which it was trained; version: its name
    history: its training data, whose items are the catalogue, [I]
    cpu_seconds: of the fit, tiers included
    """

    cut: float
    version: str
    history: Interactions
    tiering: Tiering
    model: TifuKnn
    cpu_seconds: float

    @classmethod
    def fit(cls, world: ReplayWorld, cut: float, seed: int, min_users: int = 10) -> Self:
        """Fit to the log before the cut, on items with at least min_users users."""
        started = time.process_time()
        past = world.log.before(cut)
        item_users = np.bincount(past.unique_pairs()[1], minlength=past.num_items)
        history = restrict_items(past, past.items[item_users >= min_users])
        rows = pd.Index(world.items["item_id"].astype(object)).get_indexer(history.items)
        items = world.items.take(rows).reset_index(drop=True)
        tiering = Tiering.fit(history, items, TierSettings(), seed)
        model = TifuKnn.fit(Training(history, items, tiering, world.target, seed), TifuKnn.Config())
        version = f"day {cut - world.start:.0f}"
        return cls(cut, version, history, tiering, model, time.process_time() - started)

    def lists(self, past: Interactions, users: IntArray, k: int) -> IntArray:
        """First k items for the histories of these users, [R, k]: columns of past.items, -1 behind a shorter list."""
        history = restrict_items(past.select_users(users), self.history.items)
        items = rank_catalogue(cast("Retriever", self.model), history, k, exclude_seen=False).items
        column = np.r_[past.items.get_indexer(self.history.items), -1]
        lists: IntArray = column[items]
        return lists


def restrict_items(log: Interactions, items: pd.Index) -> Interactions:
    """The same histories over a subset of the catalogue."""
    code = items.get_indexer(log.items).astype(np.int32)
    kept = log.where(code[log.item] >= 0)
    return replace(kept, items=items, item=code[kept.item])
