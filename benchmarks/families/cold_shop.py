"""The demo shop with a fifth of its users held out: models and bundle are fitted to the others alone."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS, IntArray
from tierrec_core.base.paths import Layout
from tierrec_core.bundle.bundle import Bundle, KnownUsers, TaskConfig
from tierrec_core.data.gradient_boosting import RankingExamples
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog, Window
from tierrec_core.data.support_sets import newest_items
from tierrec_core.models import registry
from tierrec_core.protocols.model import Recommender, Training
from tierrec_core.ranking import BlendRanker, retrieve
from tierrec_core.ranking.blend import RankingContext
from tierrec_core.ranking.policy import ListPolicy
from tierrec_core.settings import Settings, read_settings
from tierrec_core.stages.inputs.snapshot_windows import SnapshotWindow
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.stages.inputs.training import SimulatedColdUsers, visible_history
from tierrec_core.tiers import Tiering

TASK, FOLDS, COLD_SHARE, WINDOWS = "next", 5, 0.1, 3
Models = dict[str, Recommender]


@dataclass(frozen=True)
class ColdShop:
    """Split by users. known: log of the other users; held: log of the held-out users, over the same catalogue."""

    settings: Settings
    items: pd.DataFrame
    known: SplitLog
    held: SplitLog

    @classmethod
    def read(cls, fold: int, root: Path = Path()) -> Self:
        """Read the finished run in `root` and hold out one fixed fifth of its users."""
        layout = Layout(root)
        log = read_split(layout)
        order = np.random.default_rng(0).permutation(log.log.num_users)
        size = len(order) // FOLDS
        held = np.sort(order[fold * size : (fold + 1) * size])
        known = np.setdiff1d(order, held)
        items = artifacts.read_frame(layout.items, ITEMS)
        return cls(read_settings(layout.params), items, of_users(log, known), of_users(log, held))

    def training(self, snapshot: str, hidden: float = 0.0) -> Training:
        """Training data as of the snapshot, without the events of a share `hidden` of simulated cold users."""
        whole, seed = self.known.history(snapshot), self.settings.seed
        tiering = Tiering.fit(whole, self.items, self.settings.tiers, seed)
        history = visible_history(self.known, snapshot, hidden, seed)
        return Training(history, self.items, tiering, self.known.target, seed)

    @property
    def windows(self) -> list[Window]:
        """The newest windows before the test, in order."""
        return self.known.windows_of(TASK, "train", "valid")[-WINDOWS:]

    @cached_property
    def ranker_examples(self) -> tuple[list[SnapshotWindow], list[SnapshotWindow]]:
        """Ranker examples of known and of simulated cold users; models without `refit` are the oldest window's."""
        warm, cold, models = [], [], Models()
        for window in self.windows:
            models = self.fitted(self.training(window.snapshot, COLD_SHARE), models)
            warm.append(self._snapshot(window, models))
            cold.append(self._cold_users(warm[-1], models))
        return warm, cold

    @cached_property
    def final(self) -> Models:
        """All models fitted as of the test."""
        return self.fitted(self.training(self.known.final.name), {})

    def bundle(self, snapshots: list[SnapshotWindow]) -> Bundle:
        """The served bundle, with a blend trained on these examples."""
        options = self.settings.blend_of(TASK).model_copy(update={"num_threads": 1})
        training = self.training(self.known.final.name)
        context = RankingContext.fit(training, options.attributes)
        blend = BlendRanker.fit(context, _examples(snapshots, options.negative_share), options, self.settings.seed)
        policy = ListPolicy.fit(training.history, self.items, self.settings.policy)
        return Bundle(
            kinds={name: str(block.get("kind", name)) for name, block in self.settings.models.items()},
            models=self.final,
            blends={TASK: blend},
            task_configs={TASK: TaskConfig(repeats=True, retrieve=self.settings.retrieve)},
            known=KnownUsers(training.history, policy, training.target),
            items=self.items,
        )

    def fitted(self, training: Training, older: Models) -> Models:
        """Fit every model of params.yaml; those without `refit` are taken from the older ones."""
        models = {}
        for name, block in self.settings.models.items():
            kind, config = registry.configure(name, block)
            if name in older and not getattr(config, "refit", True):
                models[name] = older[name]
                continue
            with threadpool_limits(1):
                models[name] = kind.fit(training, config)
        return models

    def _snapshot(self, window: Window, models: Models) -> SnapshotWindow:
        training, truth = self.training(window.snapshot), self.known.truth(window)
        rows = np.unique(truth[0])  # includes simulated cold users, with whole histories
        found = retrieve(models, training.history.select_users(rows), self.settings.retrieve, repeats=True)
        context = RankingContext.fit(training, self.settings.blend_of(TASK).attributes)
        return SnapshotWindow(window, context, training.history, found.renumbered(rows), truth)

    def _cold_users(self, snapshot: SnapshotWindow, models: Models) -> SnapshotWindow:
        new = SimulatedColdUsers.of(self.known, snapshot.window, COLD_SHARE, self.settings.seed)
        found = retrieve(models, new.history, self.settings.retrieve, repeats=True)
        return replace(snapshot, history=new.history, candidates=found, truth=new.truth)


def of_users(log: SplitLog, rows: IntArray) -> SplitLog:
    """Restrict the log to these users, rows ascending."""
    return replace(log, log=log.log.select_users(rows), position=log.position[np.isin(log.log.user, rows)])


def support_and_truth(held: SplitLog, window: Window, count: int) -> tuple[Interactions, tuple[IntArray, IntArray]]:
    """Last `count` items of the held-out users with events in the window, [U], and their ground truth."""
    user, item = held.truth(window)
    rows = np.unique(user)
    whole = held.history(window.snapshot).select_users(rows)
    return newest_items(whole, count, np.random.default_rng(count)), (np.searchsorted(rows, user), item)


def as_anonymous_sessions(history: Interactions) -> Interactions:
    """The same items in the form of an anonymous session: see Interactions.from_history."""
    count = len(history)
    back = history.offsets[1:][history.user] - np.arange(count)
    return replace(
        history,
        day=history.now - back / 1440.0,
        value=np.zeros(count, np.float32),
        quantity=np.ones(count, np.float32),
        session=history.user.astype(np.int64),
        coupon=np.zeros(count, bool),
    )


def _examples(snapshots: list[SnapshotWindow], negative_share: float) -> list[RankingExamples]:
    return [snapshot.examples(negative_share, np.random.default_rng(index)) for index, snapshot in enumerate(snapshots)]
