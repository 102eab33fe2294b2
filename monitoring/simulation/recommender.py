"""A light but real recommender for replays: what a user and their like buy again (TIFU-KNN, Hu et al., SIGIR 2020)."""

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
    """The recommender as of one day; it fits in seconds, where the platform's takes minutes.

    EASE beside it was tried and added nothing to the lists of the next two weeks.

    cut: the day before which it learned; version: its name
    history: what it learned from; its items are the catalogue, [I]
    cpu_seconds: what the fit took, tiers included
    """

    cut: float
    version: str
    history: Interactions
    tiering: Tiering
    model: TifuKnn
    cpu_seconds: float

    @classmethod
    def fit(cls, world: ReplayWorld, cut: float, seed: int, min_users: int = 10) -> Self:
        """Learn from what lies before the cut, about the items that enough users had met by then."""
        begun = time.process_time()
        past = world.log.before(cut)
        met = np.bincount(past.unique_pairs()[1], minlength=past.num_items)
        history = narrowed(past, past.items[met >= min_users])
        place = pd.Index(world.items["item_id"].astype(object)).get_indexer(history.items)
        items = world.items.take(place).reset_index(drop=True)
        tiering = Tiering.fit(history, items, TierSettings(), seed)
        model = TifuKnn.fit(Training(history, items, tiering, world.target, seed), TifuKnn.Config())
        version = f"day {cut - world.start:.0f}"
        return cls(cut, version, history, tiering, model, time.process_time() - begun)

    def lists(self, past: Interactions, rows: IntArray, k: int) -> IntArray:
        """First k items for the histories of these rows, [R, k]: columns of past.items, -1 where a list is shorter."""
        history = narrowed(past.select_users(rows), self.history.items)
        found = rank_catalogue(cast("Retriever", self.model), history, k, exclude_seen=False).items
        column = np.r_[past.items.get_indexer(self.history.items), -1]
        listed: IntArray = column[found]
        return listed


def narrowed(log: Interactions, items: pd.Index) -> Interactions:
    """The same histories over a part of the catalogue."""
    code = items.get_indexer(log.items).astype(np.int32)
    kept = log.where(code[log.item] >= 0)
    return replace(kept, items=items, item=code[kept.item])
