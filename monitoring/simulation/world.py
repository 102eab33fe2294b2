"""A log to replay, and a recommender that is fitted in seconds, the canary's."""

import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.canary import CanaryModel, CanaryTask
from monitoring.drift.feed.feed_log import is_interaction
from monitoring.simulation.synthetic_drift import ChangedLog
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS, ITEMS, Event
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions, from_days, to_days
from tierrec_core.data.item_frame import align_items
from tierrec_core.settings import RetrainSettings, Settings, SyntheticSource, TierSettings
from tierrec_core.sources import complete_journey, synthetic
from tierrec_core.tiers import Tiering

TASK = CanaryTask((Event.PURCHASE.value,), repeats=True, min_users_per_item=10)
_MAX_USERS = 20_000  # of a project's log; a fit takes about a second


@dataclass(frozen=True)
class ReplayWorld:
    """A complete log: EVENTS and ITEMS, and the change applied to it, None for the original log.

    task, tiers, retrain: of all models, canaries and decisions
    """

    name: str
    events: pd.DataFrame
    items: pd.DataFrame
    change: ChangedLog | None = None
    task: CanaryTask = TASK
    tiers: TierSettings = field(default_factory=TierSettings)
    retrain: RetrainSettings = field(default_factory=RetrainSettings)

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


def project_world(layout: Layout, settings: Settings) -> ReplayWorld:
    """The log that a project's last run has read; of a large shop a sample of the users is drawn.

    In a sample an item needs as much fewer users to be in a list. Raises ArtifactError when a file is missing.
    """
    events = artifacts.read_frame(layout.prepared_events, EVENTS)
    items = artifacts.read_frame(layout.raw_items, ITEMS)
    users = np.sort(events["user_id"].unique().astype(object))
    name, min_users = "the project's log", settings.split.min_users_per_item
    if len(users) > _MAX_USERS:
        drawn = np.random.default_rng(settings.seed).choice(users, _MAX_USERS, replace=False)
        events = events[events["user_id"].isin(drawn)]
        name = f"{name}, {_MAX_USERS:,} of {len(users):,} users"
        min_users = max(1, round(min_users * _MAX_USERS / len(users)))
    task = CanaryTask(settings.split.target, settings.tasks[settings.default_task].repeats, min_users)
    return ReplayWorld(name, events, items, task=task, tiers=settings.tiers, retrain=settings.retrain)


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
    cpu_seconds: of the fit, tiers included
    """

    cut: float
    version: str
    canary: CanaryModel
    tiering: Tiering
    cpu_seconds: float

    @classmethod
    def fit(cls, world: ReplayWorld, cut: float, seed: int) -> Self:
        """Fit to the log before the cut."""
        started = time.process_time()
        canary = CanaryModel.fit(world.log, cut, world.task)
        if not canary.history.num_items:
            raise EmptyDataError(
                f"no item has {world.task.min_users_per_item} users before {from_days(cut):%Y-%m-%d}, when the first "
                "model is trained; lower split.min_users_per_item, or wait for a longer log"
            )
        items = align_items(world.items, canary.history.items, "simulation")
        tiering = Tiering.fit(canary.history, items, world.tiers, seed)
        return cls(cut, f"day {cut - world.start:.0f}", canary, tiering, time.process_time() - started)
