"""A log to replay: the real year of Complete Journey, or a synthetic shop, before or after a change."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.measurement.encoded_events import is_interaction
from monitoring.simulation.synthetic_drift import ChangedLog
from tierrec_core.base.contracts import Event
from tierrec_core.data.interactions import Interactions, to_days
from tierrec_core.settings import SyntheticSource
from tierrec_core.sources import complete_journey, synthetic


@dataclass(frozen=True)
class ReplayWorld:
    """A whole log.

    events, items: EVENTS and ITEMS
    target: names of the events to predict
    change: the change made to it, None for the original log
    """

    name: str
    events: pd.DataFrame
    items: pd.DataFrame
    target: tuple[str, ...] = (Event.PURCHASE.value,)
    change: ChangedLog | None = None

    def after(self, change: ChangedLog) -> Self:
        """The world after a change."""
        return replace(self, events=change.events, items=change.items, change=change)

    @cached_property
    def log(self) -> Interactions:
        """All interactions; impressions and redemptions are none."""
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
