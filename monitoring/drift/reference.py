"""Stage `reference`: measures the last window of the champion's training data, and the effect limits."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.feed.catalogue import CatalogueSnapshot
from monitoring.drift.feed.feed_log import events_between
from monitoring.drift.historical_windows import ComparisonGroups, HistoricalWindows, effect_thresholds
from monitoring.drift.measurement.encoded_events import EncodedEvents
from monitoring.drift.measurement.known_items import UNKNOWN
from monitoring.drift.measurement.window_measurement import MeasurementContext, UserBaselines, WindowMeasurement
from monitoring.drift.statistics.effect_limits import ALL, without_outliers
from monitoring.drift.statistics.paired_tests import WindowPair
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS, ITEMS, FloatArray
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions, from_days
from tierrec_core.settings import MonitorSettings, Settings
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.tiers import Tiering

_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class DriftReference:
    """The reference window and the data for comparing current windows with it; built once per champion.

    cut: the day up to which the log was complete when the champion was trained
    users: ids, [U]; groups: their tiers as of the window's first day
    context, baselines: as of the window's first day, so that they contain neither window
    thresholds: effect limits by "family/group", one per comparison of the family
    num_past: pairs of past windows behind the thresholds
    unlabelled_share, unlabelled_deviation: the window's events without a category, and the deviation over days
    catalogue: the items with events, as they were described at the cut
    """

    cut: float
    users: pd.Index
    groups: ComparisonGroups
    context: MeasurementContext
    baselines: UserBaselines
    window: WindowMeasurement
    thresholds: dict[str, FloatArray]
    num_past: int
    unlabelled_share: float
    unlabelled_deviation: float
    catalogue: CatalogueSnapshot
    settings: MonitorSettings

    @classmethod
    def build(
        cls,
        events: pd.DataFrame,
        items: pd.DataFrame,
        cut: float,
        tiering: Tiering,
        history: Interactions,
        settings: MonitorSettings,
    ) -> Self:
        """Measure the window before the cut, and pairs of earlier windows, from EVENTS and ITEMS.

        history, tiering: the champion's training data before the cut, and its users' tiers at the end of the log.
        Raises EmptyDataError when the window holds no event of these users.
        """
        width = settings.window_days
        past = HistoricalWindows.of(events, items, cut, tiering, history, settings)
        context, groups, baselines = past.known_before(cut)
        rows = past.rows.between(cut - width, cut)
        window = context.measure(rows, cut - width, cut)
        if not window.events.any():
            raise EmptyDataError(
                f"reference: no event of the {len(history.users)} users in the {width:g} days before "
                f"{from_days(cut):%Y-%m-%d}; raise monitor.window_days or look for a gap in the log"
            )
        past_effects = without_outliers(list(past.effects()))
        pair = WindowPair(window, window, groups.tier, past.known_items, baselines)
        daily_unlabelled = pd.Series(rows.label == UNKNOWN).groupby(np.floor(rows.day)).mean()
        return cls(
            cut,
            history.users,
            groups,
            context,
            baselines,
            window,
            thresholds=effect_thresholds(past_effects, pair, tiering.names, settings.quantile),
            num_past=len(past_effects),
            unlabelled_share=float((rows.label == UNKNOWN).mean()),
            unlabelled_deviation=float(daily_unlabelled.std(ddof=0)),
            catalogue=CatalogueSnapshot.of(events_between(events, None, cut)["item_id"], items),
            settings=settings,
        )

    def pair_with(self, current: WindowMeasurement) -> WindowPair:
        """Pair the reference window with a current window."""
        return WindowPair(self.window, current, self.groups.tier, self.context.known_items, self.baselines)


def run(layout: Layout, settings: Settings) -> None:
    """Write the reference of the models in production; print its window and its limits."""
    production = layout.production
    log = read_split(production)
    events = artifacts.read_frame(layout.prepared_events, EVENTS)
    items = artifacts.read_frame(layout.raw_items, ITEMS)
    tiering = artifacts.load(Tiering, production.tiering(log.final.name))
    complete = newest_complete_end(events, settings.monitor, None)
    cut = complete if complete > log.log.day.min() else log.log.now  # of a log of a single day
    reference = DriftReference.build(events, items, cut, tiering, log.log.before(cut), settings.monitor)
    artifacts.save(reference, layout.reference)
    window = reference.window
    print(
        f"reference {from_days(window.start):%Y-%m-%d} to {from_days(window.end):%Y-%m-%d}: "
        f"{int((window.events > 0).sum())} of {len(reference.users)} users, {int(window.events.sum()):,} events, "
        f"{len(reference.context.known_items.names)} categories"
    )
    limits = ", ".join(
        f"{name.removesuffix(f'/{ALL}')} {float(limit.max()):.3f}"
        for name, limit in reference.thresholds.items()
        if name.endswith(f"/{ALL}")
    )
    print(f"effect limits for an alarm (from {reference.num_past} pairs of past windows): {limits}")


def measure_window(
    reference: DriftReference, events: pd.DataFrame, items: pd.DataFrame, end: float
) -> WindowMeasurement:
    """Measure the window of the reference's length that ends before day `end`, from EVENTS and ITEMS."""
    start = end - reference.settings.window_days
    window = events_between(events, start, end)
    rows = EncodedEvents.of(window, items, reference.users, reference.context.known_items)
    return reference.context.measure(rows, start, end)


def newest_complete_end(events: pd.DataFrame, settings: MonitorSettings, now: datetime | None) -> float:
    """The day boundary up to which the log is complete: lateness_hours before its newest event, rounded down.

    Events after `now` are ignored. Without `now`, a trailing group of less than 1% of the events that begins more than
    a window after the rest is attributed to wrong clocks and ignored.
    Raises EmptyDataError without events.
    """
    stamps = events["timestamp"]
    stamps = stamps if now is None else stamps[stamps <= now]
    if stamps.empty:
        raise EmptyDataError("monitor: the log has no event up to now; check the source and the machine's clock")
    day = np.sort(np.floor(stamps.astype("int64").to_numpy() / 1e6 / _DAY_SECONDS))
    starts = np.flatnonzero(np.diff(day, prepend=-np.inf) > settings.window_days)
    while now is None and len(starts) > 1 and len(day) - starts[-1] < 0.01 * len(day):
        day, starts = day[: starts[-1]], starts[:-1]
    newest = stamps[stamps < from_days(float(day[-1]) + 1)].max()
    hours = newest.timestamp() / 3600 - settings.lateness_hours
    return float(np.floor(hours / 24))
