"""A log to replay, and a recommender that is fitted in seconds: TIFU-KNN (Hu et al., SIGIR 2020)."""

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, cast

import numpy as np
import pandas as pd

from monitoring.drift.feed.feed_log import is_interaction
from monitoring.simulation.synthetic_drift import ChangedLog
from tierrec_core.base.contracts import Event, IntArray
from tierrec_core.data.interactions import Interactions, to_days
from tierrec_core.models.tifu_knn import TifuKnn
from tierrec_core.protocols.model import Retriever, Training
from tierrec_core.ranking.candidates import rank_catalogue
from tierrec_core.settings import SyntheticSource, TierSettings
from tierrec_core.sources import complete_journey, synthetic
from tierrec_core.tiers import Tiering

TARGET = (Event.PURCHASE.value,)  # names of the events to predict


@dataclass(frozen=True)
class ReplayWorld:
    """A complete log: EVENTS and ITEMS, and the change applied to it, None for the original log."""

    name: str
    events: pd.DataFrame
    items: pd.DataFrame
    change: ChangedLog | None = None

    def after(self, change: ChangedLog) -> Self:
        """The world after a change."""
        return replace(self, events=change.events, items=change.items, change=change)

    @cached_property
    def log(self) -> Interactions:
        """All interactions, without impressions and redemptions."""
        return Interactions.from_events(self.events[is_interaction(self.events)])

    @property
    def start(self) -> float:
        """The first day, days since 1970 UTC."""
        return float(np.floor(self.log.day.min()))

    @property
    def end(self) -> float:
        """The day after the last complete one."""
        return float(np.floor(self.log.day.max()))

    def between(self, start: float, end: float) -> pd.DataFrame:
        """EVENTS from day `start` to before day `end`."""
        day = to_days(self.events["timestamp"])
        return self.events[(day >= start) & (day < end)]


def complete_journey_world() -> ReplayWorld:
    """The real year 2017. Raises UnreadableFileError when the package is not installed."""
    log = complete_journey.read_complete_journey()
    return ReplayWorld("complete_journey", log.events, log.items)


def synthetic_world(seed: int, *, num_users: int = 600, num_items: int = 300, days: int = 337) -> ReplayWorld:
    """A synthetic shop without drift; by default twelve months of 28 days and one day more."""
    source = SyntheticSource(num_users=num_users, num_items=num_items, days=days)
    log = synthetic.make_synthetic_world(source, seed).log
    return ReplayWorld(f"synthetic {seed}", log.events, log.items)


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
        model = TifuKnn.fit(Training(history, items, tiering, TARGET, seed), TifuKnn.Config())
        version = f"day {cut - world.start:.0f}"
        return cls(cut, version, history, tiering, model, time.process_time() - started)

    def lists(self, past: Interactions, users: IntArray, k: int) -> IntArray:
        """First k items for the histories of these users, [R, k]: columns of past.items, -1 as padding."""
        history = restrict_items(past.select_users(users), self.history.items)
        items = rank_catalogue(cast("Retriever", self.model), history, k, exclude_seen=False).items
        column = np.r_[past.items.get_indexer(self.history.items), -1]
        lists: IntArray = column[items]
        return lists


def restrict_items(log: Interactions, items: pd.Index) -> Interactions:
    """The same histories over a subset of the catalogue."""
    code = items.get_indexer(log.items).astype(np.int32)
    restricted = log.where(code[log.item] >= 0)
    return replace(restricted, items=items, item=code[restricted.item])
