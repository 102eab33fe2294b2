"""A log and the period of its fault, which functions of type `Fault` apply to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from monitoring.simulation.synthetic_drift import ChangedLog
from tierrec_core.base.contracts import ITEMS, BoolArray
from tierrec_core.data.interactions import from_days, to_days


@dataclass(frozen=True)
class FaultPeriod:
    """A log, and the period of its fault: from day `start` to before day `end`, days since 1970 UTC."""

    events: pd.DataFrame
    items: pd.DataFrame
    start: float
    end: float

    @property
    def inside(self) -> BoolArray:
        """Mask of the rows in the period, [N]."""
        return self.between(self.start, self.end)

    @property
    def first_time(self) -> pd.Timestamp:
        """The first instant of the period."""
        return from_days(self.start)

    def between(self, start: float, end: float) -> BoolArray:
        """Mask of the rows from day `start` to before day `end`, [N]."""
        day = to_days(self.events["timestamp"])
        return (day >= start) & (day < end)

    def drop_rows(self, lost: BoolArray, start: float, what: str) -> ChangedLog:
        """The log without the masked rows [N]."""
        return ChangedLog(self.events[~lost].reset_index(drop=True), self.items, pd.Index([]), start, what)

    def replace_events(self, events: pd.DataFrame, what: str, items: pd.DataFrame | None = None) -> ChangedLog:
        """The log with other values in its rows, and with other ITEMS where given."""
        catalogue = self.items if items is None else ITEMS.conform(items, "simulation")
        ordered = events.sort_values("timestamp", kind="stable").reset_index(drop=True)
        return ChangedLog(ordered, catalogue, pd.Index([]), self.start, what)

    def add_rows(self, extra: pd.DataFrame, users: pd.Index, what: str) -> ChangedLog:
        """The log with further rows."""
        events = pd.concat([self.events, extra], ignore_index=True).sort_values("timestamp", kind="stable")
        return ChangedLog(events.reset_index(drop=True), self.items, users, self.start, what)


Fault: TypeAlias = Callable[[FaultPeriod, np.random.Generator], ChangedLog]
