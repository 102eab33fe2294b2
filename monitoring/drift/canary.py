"""The canary: what a cheap model, TIFU-KNN, gains by being trained on newer events than the champion."""

import time
from dataclasses import dataclass, field, replace
from typing import Self, cast

import numpy as np
import pandas as pd

from monitoring.drift.feed.feed_log import events_between, is_interaction
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.data.interactions import Interactions, from_days
from tierrec_core.evaluation.bootstrap import ConfidenceInterval, bootstrap_mean
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.models.tifu_knn import TifuKnn
from tierrec_core.protocols.model import Retriever
from tierrec_core.ranking.candidates import rank_catalogue

CUTOFF = 10
WIDTH = 7.0  # days; a week, so that weekdays weigh the same
_MIN_USERS = 50
_MAX_USERS = 5_000
_BOOTSTRAPS = 1000


@dataclass(frozen=True)
class CanaryTask:
    """What the canary predicts.

    target: names of events; repeats: whether a list may have items of the history
    min_users_per_item: an item with fewer is in no list
    """

    target: tuple[str, ...]
    repeats: bool
    min_users_per_item: int


@dataclass(frozen=True)
class CanaryModel:
    """TIFU-KNN as of one day. history: its training data, whose items are its catalogue, [I]."""

    history: Interactions
    model: TifuKnn

    @classmethod
    def fit(cls, log: Interactions, cut: float, task: CanaryTask, users: IntArray | None = None) -> Self:
        """Fit to the log before the cut, on the items with enough users there; users: rows to fit to, None for all."""
        past = log.before(cut)
        item_users = np.bincount(past.unique_pairs()[1], minlength=past.num_items)
        fitted = past if users is None else past.select_users(users)
        history = _restrict_items(fitted, past.items[item_users >= task.min_users_per_item])
        return cls(history, TifuKnn.of(history, task.target, TifuKnn.Config()))

    def lists(self, past: Interactions, users: IntArray, k: int, *, exclude_seen: bool = False) -> IntArray:
        """First k items for the histories of these users, [R, k]: columns of past.items, -1 as padding."""
        history = _restrict_items(past.select_users(users), self.history.items)
        items = rank_catalogue(cast("Retriever", self.model), history, k, exclude_seen=exclude_seen).items
        column = np.r_[past.items.get_indexer(self.history.items), -1]
        lists: IntArray = column[items]
        return lists


def _restrict_items(log: Interactions, items: pd.Index) -> Interactions:
    """The same histories over a subset of the catalogue."""
    code = items.get_indexer(log.items).astype(np.int32)
    restricted = log.where(code[log.item] >= 0)
    return replace(restricted, items=items, item=code[restricted.item])


@dataclass(frozen=True)
class CanaryResult:
    """NDCG@10 that training up to day `newer` gained over training up to the champion's `cut`, in the week to `end`.

    gain: mean over num_users users and its 95% interval, None if it was not measured, for the `reason`
    """

    cut: float
    newer: float
    end: float
    gain: ConfidenceInterval | None = None
    num_users: int = 0
    cpu_seconds: float = field(default=0.0, compare=False)
    reason: str = ""


def run_canary(events: pd.DataFrame, cut: float, end: float, task: CanaryTask, seed: int) -> CanaryResult:
    """Fit the canary to EVENTS before the cut and to those before the week to `end`, and compare them in that week.

    Both rank from the histories up to the week, as the service does with feedback: the gain is that of the training
    alone. Of a large shop a sample of the users is drawn. Deterministic given the seed. Never raises: the reason says
    why there is no gain.
    """
    started, newer = time.process_time(), end - WIDTH
    try:
        gains = _gains(events, cut, newer, end, task, np.random.default_rng(seed))
    except Exception as error:  # a retrain must be decided on whatever the canary finds in the log
        reason, seconds = str(error) or type(error).__name__, time.process_time() - started
        return CanaryResult(cut, newer, end, cpu_seconds=seconds, reason=reason)
    gain = bootstrap_mean(gains, _BOOTSTRAPS, np.random.default_rng(seed))
    return CanaryResult(cut, newer, end, gain, len(gains), time.process_time() - started)


def _gains(
    events: pd.DataFrame, cut: float, newer: float, end: float, task: CanaryTask, rng: np.random.Generator
) -> FloatArray:
    """NDCG@10 of the newer minus the older canary for each user with a history and a target event in the week, [E]."""
    if newer <= cut:
        raise EmptyDataError(
            f"it would train up to {from_days(newer):%Y-%m-%d}, the champion's training ended {from_days(cut):%Y-%m-%d}"
        )
    start, events = end - WIDTH, events_between(events, None, end)
    full = Interactions.from_events(events[is_interaction(events)], now=end)
    users = _sampled_users(full.before(start), rng)
    log = full.select_users(users)
    past, week = log.before(start), log.where(log.day >= start).filter_events(*task.target)
    user, item = week.unique_pairs()
    if len(np.unique(user)) < _MIN_USERS:
        raise EmptyDataError(f"fewer than {_MIN_USERS} users with a history have a target event in the last week")
    truth = Truth.of(user, item, log.num_items)
    older_ndcg, newer_ndcg = (_ndcg(CanaryModel.fit(full, day, task, users), past, truth, task) for day in (cut, newer))
    return newer_ndcg - older_ndcg


def _sampled_users(past: Interactions, rng: np.random.Generator) -> IntArray:
    """Rows of at most _MAX_USERS users with a history."""
    users = np.flatnonzero(np.diff(past.offsets))
    return np.sort(rng.choice(users, _MAX_USERS, replace=False)) if len(users) > _MAX_USERS else users


def _ndcg(canary: CanaryModel, past: Interactions, truth: Truth, task: CanaryTask) -> FloatArray:
    if not canary.history.num_items:
        raise EmptyDataError(f"no item with {task.min_users_per_item} users before the training")
    lists = np.full((past.num_users, CUTOFF), -1, np.int64)
    lists[truth.users] = canary.lists(past, truth.users, CUTOFF, exclude_seen=not task.repeats)
    return per_user(lists, truth, CUTOFF)["ndcg"]
