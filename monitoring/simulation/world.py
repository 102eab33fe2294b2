"""A log to be replayed: the real year of Complete Journey, or a made shop, before or after a change."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from monitoring.simulation.synthetic_drift import ShiftedLog
from tierrec_core.base.contracts import Event
from tierrec_core.data.interactions import Interactions, to_days
from tierrec_core.settings import SyntheticSource
from tierrec_core.sources import complete_journey as journey
from tierrec_core.sources import synthetic as made


@dataclass(frozen=True)
class ReplayWorld:
    """A whole log. Who asks for its past gets no more than that.

    events, items: EVENTS and ITEMS
    target: names of the events that count as success
    change: what was done to it, None for a log as it came
    """

    name: str
    events: pd.DataFrame
    items: pd.DataFrame
    target: tuple[str, ...] = (Event.PURCHASE.value,)
    change: ShiftedLog | None = None

    def after(self, change: ShiftedLog) -> Self:
        """The same world once it has changed."""
        return replace(self, events=change.events, items=change.items, change=change)

    @cached_property
    def log(self) -> Interactions:
        """Everything that anybody ever did to an item but see it in a list; a campaign is no item."""
        passive = self.events["event"].isin([Event.IMPRESSION.value, Event.REDEEM.value])
        return Interactions.from_events(self.events[~passive])

    @property
    def start(self) -> float:
        """The first day, days since 1970 UTC."""
        return float(np.floor(self.log.day.min()))

    @property
    def end(self) -> float:
        """The day after the last whole one."""
        return float(np.floor(self.log.day.max()))

    def between(self, start: float, end: float) -> pd.DataFrame:
        """EVENTS from one day to before another."""
        day = to_days(self.events["timestamp"])
        return self.events[(day >= start) & (day < end)]


def complete_journey() -> ReplayWorld:
    """The real year 2017. Raises UnreadableFileError when the package is not installed."""
    log = journey.read_complete_journey()
    return ReplayWorld("complete_journey", log.events, log.items)


def synthetic(seed: int, *, num_users: int = 600, num_items: int = 300, days: int = 337) -> ReplayWorld:
    """A made shop in which nothing ever changes; twelve months of 28 days, and a day by which the last is over."""
    source = SyntheticSource(num_users=num_users, num_items=num_items, days=days)
    log = made.read_synthetic(source, seed)
    return ReplayWorld(f"synthetic {seed}", log.events, log.items)
