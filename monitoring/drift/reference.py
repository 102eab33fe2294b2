"""The champion's last window before the cut, measured once, with all that newer windows are held against."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.historical_windows import BaselineStats, HistoricalWindows, thresholds
from monitoring.drift.measurement.encoded_events import EncodedEvents, within
from monitoring.drift.measurement.known_items import UNKNOWN, KnownItems
from monitoring.drift.measurement.user_baselines import UserBaselines
from monitoring.drift.measurement.window_measurement import MeasurementContext, WindowMeasurement
from monitoring.drift.statistics.paired_tests import WindowPair
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.data.interactions import Interactions, from_days
from tierrec_core.settings import MonitorSettings
from tierrec_core.tiers import Tiering

_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class DriftReference:
    """What newer windows are held against; made with the champion and never measured again.

    cut: the day before which the champion learned
    users: ids, [U]; established: who had done anything before the window, and is compared, [U]
    tier: as of the window's first day, index into TIER_NAMES, [U]
    habits, known_items, known_labels: what was done and known before the window, so that both windows are strange to it
    tier_cuts: log of 1 + spend of a window that parts the tiers, [T - 1]
    thresholds: effect to exceed, by "family/tier", one a comparison of the family
    num_past: pairs of past windows behind the thresholds
    unknown_share, unknown_spread: of the window's events, those without a category, and their deviation from day to day
    """

    cut: float
    catalogue: KnownItems
    users: pd.Index
    established: BoolArray
    tier: IntArray
    habits: UserBaselines
    known_items: BoolArray
    known_labels: BoolArray
    tier_cuts: FloatArray
    observation: WindowMeasurement
    thresholds: dict[str, FloatArray]
    num_past: int
    unknown_share: float
    unknown_spread: float
    settings: MonitorSettings
    seed: int

    @classmethod
    def build(
        cls,
        events: pd.DataFrame,
        items: pd.DataFrame,
        cut: float,
        tiering: Tiering,
        history: Interactions,
        settings: MonitorSettings,
        seed: int,
    ) -> Self:
        """Measure the window before the cut, and pairs of windows before it, from EVENTS and ITEMS.

        history, tiering: what the champion learned from, and the tiers of its users, both as of the cut.
        Raises EmptyDataError when the window holds no event of these users.
        """
        past, width = (
            HistoricalWindows.of(events, items, cut, tiering, history, settings),
            settings.window_days,
        )
        lens, standing, habits = past.lens(cut), past.standing(cut), past.habits(cut)
        rows = past.rows.between(cut - width, cut)
        observation = lens.measure(rows, cut - width, cut)
        if not observation.events.any():
            raise EmptyDataError(
                f"reference: no event of the {len(history.users)} users in the {width:g} days before "
                f"{from_days(cut):%Y-%m-%d}; raise monitor.window_days or look for a gap in the log"
            )
        pairs = list(past.effects())
        own = WindowPair(observation, observation, standing.tier, past.catalogue, habits)
        unknown = pd.Series(rows.label == UNKNOWN).groupby(np.floor(rows.day)).mean()
        return cls(
            cut=cut,
            catalogue=past.catalogue,
            users=history.users,
            established=standing.established,
            tier=standing.tier,
            habits=habits,
            known_items=lens.known_items,
            known_labels=lens.known_labels,
            tier_cuts=lens.cuts,
            observation=observation,
            thresholds=thresholds(pairs, own, settings.quantile),
            num_past=len(pairs),
            unknown_share=float((rows.label == UNKNOWN).mean()),
            unknown_spread=float(unknown.std(ddof=0)),
            settings=settings,
            seed=seed,
        )

    @property
    def standing(self) -> BaselineStats:
        """Who is judged, in which tier."""
        return BaselineStats(self.tier, self.established)

    def beside(self, current: WindowMeasurement) -> WindowPair:
        """A window of its users, to be held against its own."""
        return WindowPair(self.observation, current, self.tier, self.catalogue, self.habits)

    @property
    def lens(self) -> MeasurementContext:
        """What a window after the cut is measured with."""
        return MeasurementContext(
            self.catalogue, len(self.users), self.known_items, self.known_labels, self.tier_cuts
        )


def observe(
    reference: DriftReference, events: pd.DataFrame, items: pd.DataFrame, end: float
) -> WindowMeasurement:
    """Measure the window of the reference's length that ends before day `end`; only its rows of EVENTS are used."""
    start = end - reference.settings.window_days
    rows = EncodedEvents.of(within(events, start, end), items, reference.users, reference.catalogue)
    return reference.lens.measure(rows, start, end)


def newest_complete_end(events: pd.DataFrame, settings: MonitorSettings, now: datetime | None) -> float:
    """The day boundary up to which the log is complete: lateness_hours before its newest event, rounded down.

    Events after `now` count for nothing. Without a clock, an island of events that lies more than a window after the
    rest of the log and holds less than a hundredth of it is taken for clocks that are wrong.
    Raises EmptyDataError without events.
    """
    stamps = events["timestamp"]
    stamps = stamps if now is None else stamps[stamps <= now]
    if stamps.empty:
        raise EmptyDataError(
            "monitor: the log has no event up to now; check the source and the machine's clock"
        )
    day = np.sort(np.floor(stamps.astype("int64").to_numpy() / 1e6 / _DAY_SECONDS))
    starts = np.flatnonzero(np.diff(day, prepend=-np.inf) > settings.window_days)
    while now is None and len(starts) > 1 and len(day) - starts[-1] < 0.01 * len(day):
        day, starts = day[: starts[-1]], starts[:-1]
    newest = stamps[stamps < from_days(float(day[-1]) + 1)].max()
    hours = newest.timestamp() / 3600 - settings.lateness_hours
    return float(np.floor(hours / 24))
