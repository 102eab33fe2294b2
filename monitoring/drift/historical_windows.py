"""Pairs of past windows of the log, measured like reference and current window, to calibrate the effect limits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.measurement.encoded_events import EncodedEvents, events_between
from monitoring.drift.measurement.known_items import KnownItems
from monitoring.drift.measurement.user_baselines import UserBaselines
from monitoring.drift.measurement.window_measurement import MeasurementContext, log_spend, matching_tier_cuts
from monitoring.drift.statistics.effect_limits import effect_threshold, scale_thresholds
from monitoring.drift.statistics.paired_tests import WindowPair, paired_comparisons
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import MonitorSettings
from tierrec_core.tiers import TIER_NAMES, Tiering

ALL = "all"
GROUPS = (ALL, *TIER_NAMES)
_YEAR = 364.0  # whole weeks, so that weekdays align


@dataclass(frozen=True)
class ComparisonGroups:
    """Users to compare, as of the first of two windows: tier [U]; established, users with earlier events [U]."""

    tier: IntArray
    established: BoolArray

    @property
    def members(self) -> dict[str, BoolArray]:
        """Masks of all established users and of each tier, [U] each."""
        tiers = {name: self.established & (self.tier == code) for code, name in enumerate(TIER_NAMES)}
        return {ALL: self.established, **tiers}


@dataclass(frozen=True)
class HistoricalWindows:
    """The encoded log before the cut.

    item_known_since: day since when each item has had enough users to be known, [I]
    label_known_since: day of the first event of each category, [L]
    tier_cuts: log(1 + spend) of a window at which tiers begin, [T - 1]
    """

    rows: EncodedEvents
    known_items: KnownItems
    history: Interactions
    tiering: Tiering
    item_known_since: FloatArray
    label_known_since: FloatArray
    tier_cuts: FloatArray
    cut: float
    settings: MonitorSettings

    @classmethod
    def of(
        cls,
        events: pd.DataFrame,
        items: pd.DataFrame,
        cut: float,
        tiering: Tiering,
        history: Interactions,
        settings: MonitorSettings,
    ) -> Self:
        """Encode EVENTS and ITEMS as of the cut."""
        past = events_between(events, None, cut)
        earlier = history.before(cut - settings.window_days)
        known_items = KnownItems.fit(
            past["item_id"], items, tiering, earlier if len(earlier) else history, settings.num_categories
        )
        rows = EncodedEvents.of(past, items, history.users, known_items)
        label_known_since = np.full(len(known_items.labels), np.inf)
        labelled = rows.label >= 0
        np.minimum.at(label_known_since, rows.label[labelled], rows.day[labelled])
        item_known_since = _item_known_since(rows, len(known_items.items))
        windows = cls(
            rows, known_items, history, tiering, item_known_since, label_known_since, np.zeros(0), cut, settings
        )
        return replace(windows, tier_cuts=windows._fit_tier_cuts())

    def comparison_groups(self, boundary: float) -> ComparisonGroups:
        """Users compared across the boundary; where the log does not reach back, all of them in the cut's tiers.

        Tiers are as of the first window's start: tiers that include that window would regress to the mean in the next.
        """
        before = self.history.before(boundary - self.settings.window_days)
        if not len(before):
            return ComparisonGroups(self.tiering.tier.astype(np.int8), np.ones(self.history.num_users, bool))
        return ComparisonGroups(self.tiering.assign(before).astype(np.int8), np.diff(before.offsets) > 0)

    def context(self, boundary: float) -> MeasurementContext:
        """Measurement context of both windows at the boundary: what was known before the first of them."""
        start = boundary - self.settings.window_days
        known = self.item_known_since < start, self.label_known_since < start
        return MeasurementContext(self.known_items, self.history.num_users, *known, self.tier_cuts)

    def baselines(self, boundary: float) -> UserBaselines:
        """Users' events before the first of the two windows at the boundary."""
        start = boundary - self.settings.window_days
        return UserBaselines.of(self.rows, start, self.history.num_users, len(self.known_items.labels))

    def boundaries(self) -> Iterator[float]:
        """Days between two adjacent past windows, newest first, and the day a year before the cut."""
        first, width = float(self.rows.day.min(initial=self.cut)), self.settings.window_days
        steps = self.cut - width - np.arange(self.settings.past_windows) * self.settings.past_step_days
        for boundary in (*steps, self.cut - _YEAR):
            if boundary - 2 * width >= first:
                yield float(boundary)

    def effects(self) -> Iterator[dict[str, FloatArray]]:
        """Effects between the two windows at each boundary, by "family/group"."""
        width = self.settings.window_days
        for boundary in self.boundaries():
            context, groups = self.context(boundary), self.comparison_groups(boundary)
            before, after = (
                context.measure(self.rows.between(start, start + width), start, start + width)
                for start in (boundary - width, boundary)
            )
            if before.events.any() and after.events.any():
                baselines = self.baselines(boundary)
                yield effects_by_group(WindowPair(before, after, groups.tier, self.known_items, baselines), groups)

    def _fit_tier_cuts(self) -> FloatArray:
        """Fit to the window before the reference's, or to the reference's where the log begins with it."""
        start, width = self.cut - self.settings.window_days, self.settings.window_days
        own = self.rows.where(self.rows.user >= 0)
        earlier = own.between(start - width, start)
        window = earlier if len(earlier.user) else own.between(start, self.cut)
        spend = log_spend(window, self.history.num_users)
        return matching_tier_cuts(spend, self.comparison_groups(self.cut).tier, len(TIER_NAMES))


def effects_by_group(pair: WindowPair, groups: ComparisonGroups) -> dict[str, FloatArray]:
    """Effects of each paired comparison in each group, by "family/group"."""
    return {
        f"{comparison.family}/{name}": comparison.of(members).effects()
        for comparison in paired_comparisons(pair)
        for name, members in groups.members.items()
    }


def effect_thresholds(
    past_effects: Sequence[Mapping[str, FloatArray]], pair: WindowPair, quantile: float
) -> dict[str, FloatArray]:
    """Limit of each effect by "family/group", from the effects of past pairs; `pair` gives the comparisons."""
    limits, sides = {}, {}
    for comparison in paired_comparisons(pair):
        size = 1 if comparison.kind == "vector" else len(comparison.what)
        for name in GROUPS:
            key = f"{comparison.family}/{name}"
            past = [effects[key] for effects in past_effects]
            limits[key] = effect_threshold(comparison.family, past, size, quantile, comparison.side)
            sides[key] = comparison.side
    return scale_thresholds(limits, past_effects, sides, quantile)


def _item_known_since(rows: EncodedEvents, num_items: int) -> FloatArray:
    """Day on which each known item reached as many users as the rarest known item has at the cut, [I]."""
    rows = rows.where(rows.item >= 0)
    if not len(rows.item):
        return np.full(num_items, np.inf)
    order = np.lexsort((rows.day, rows.any_user, rows.item))
    item, user, day = rows.item[order], rows.any_user[order], rows.day[order]
    first = np.r_[True, (np.diff(item) != 0) | (np.diff(user) != 0)]
    item, day = item[first], day[first]
    order = np.lexsort((day, item))
    item, day = item[order], day[order]
    num_users = np.bincount(item, minlength=num_items)
    min_users = int(num_users[num_users > 0].min())
    last = np.searchsorted(item, np.arange(num_items)) + min_users - 1
    return np.where(num_users > 0, day[np.minimum(last, len(day) - 1)], np.inf)
