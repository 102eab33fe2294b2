"""Pairs of past windows of the log, measured like reference and current window, to calibrate the effect limits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.feed.feed_log import events_between
from monitoring.drift.measurement.encoded_events import EncodedEvents
from monitoring.drift.measurement.known_items import KnownItems
from monitoring.drift.measurement.window_measurement import (
    MeasurementContext,
    UserBaselines,
    log_spend,
    matching_tier_cuts,
)
from monitoring.drift.statistics.effect_limits import ALL, effect_threshold, scale_thresholds
from monitoring.drift.statistics.paired_tests import WindowPair, paired_comparisons
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import MonitorSettings
from tierrec_core.tiers import Tiering

_YEAR = 364.0  # whole weeks, so that weekdays align


@dataclass(frozen=True)
class ComparisonGroups:
    """Users to compare, as of the first of two windows.

    tier: index into tier_names, [U]; established: whether a user has earlier events, [U]
    tier_names: by ascending activity, [T]
    """

    tier: IntArray
    established: BoolArray
    tier_names: tuple[str, ...]

    @property
    def members(self) -> dict[str, BoolArray]:
        """Masks of all established users and of each tier, [U] each."""
        tiers = {name: self.established & (self.tier == code) for code, name in enumerate(self.tier_names)}
        return {ALL: self.established, **tiers}


@dataclass(frozen=True)
class HistoricalWindows:
    """The encoded log before the cut."""

    rows: EncodedEvents
    known_items: KnownItems
    history: Interactions
    tiering: Tiering
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
        return cls(rows, known_items, history, tiering, cut, settings)

    @cached_property
    def item_known_since(self) -> FloatArray:
        """Day on which each known item reached as many users as the rarest known item has at the cut, [I]."""
        rows = self.rows.where(self.rows.item >= 0)
        day = pd.Series(rows.day, index=[rows.item, rows.any_user]).groupby(level=[0, 1]).min()
        by_item = day.sort_values(kind="stable").groupby(level=0)
        reached = by_item.nth(by_item.size().min() - 1 if len(day) else 0).droplevel(1)
        known_since: FloatArray = reached.reindex(range(len(self.known_items.items)), fill_value=np.inf).to_numpy()
        return known_since

    @cached_property
    def label_known_since(self) -> FloatArray:
        """Day of the first event of each category, [L]."""
        first_day = np.full(len(self.known_items.labels), np.inf)
        labelled = self.rows.label >= 0
        np.minimum.at(first_day, self.rows.label[labelled], self.rows.day[labelled])
        return first_day

    @cached_property
    def tier_cuts(self) -> FloatArray:
        """log(1 + spend) of a window at which tiers begin, [T - 1].

        Fitted to the window before the reference's, or to the reference's where the log begins with it.
        """
        start, width = self.cut - self.settings.window_days, self.settings.window_days
        rows = self.rows.where(self.rows.user >= 0)
        earlier = rows.between(start - width, start)
        window = earlier if len(earlier.user) else rows.between(start, self.cut)
        spend = log_spend(window, self.history.num_users)
        return matching_tier_cuts(spend, self.comparison_groups(self.cut).tier, len(self.tiering.names))

    def comparison_groups(self, boundary: float) -> ComparisonGroups:
        """Users compared across the boundary; without earlier events, all users in the tiers as of the cut.

        Tiers are as of the first window's start: tiers that include that window would regress to the mean in the next.
        """
        before = self.history.before(boundary - self.settings.window_days)
        if len(before):
            tier, established = self.tiering.assign(before), np.diff(before.offsets) > 0
        else:
            tier, established = self.tiering.tier, np.ones(self.history.num_users, bool)
        return ComparisonGroups(tier.astype(np.int8), established, self.tiering.names)

    def known_before(self, boundary: float) -> tuple[MeasurementContext, ComparisonGroups, UserBaselines]:
        """What is known before the first of the two windows at the boundary: context, groups, and users' events."""
        start, num_users = boundary - self.settings.window_days, self.history.num_users
        known = self.item_known_since < start, self.label_known_since < start
        context = MeasurementContext(self.known_items, num_users, *known, self.tier_cuts)
        baselines = UserBaselines.of(self.rows, start, num_users, len(self.known_items.labels))
        return context, self.comparison_groups(boundary), baselines

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
            context, groups, baselines = self.known_before(boundary)
            before, after = (
                context.measure(self.rows.between(start, start + width), start, start + width)
                for start in (boundary - width, boundary)
            )
            if before.events.any() and after.events.any():
                yield effects_by_group(WindowPair(before, after, groups.tier, self.known_items, baselines), groups)


def effects_by_group(pair: WindowPair, groups: ComparisonGroups) -> dict[str, FloatArray]:
    """Effects of each paired comparison in each group, by "family/group"."""
    return {
        f"{comparison.family}/{name}": comparison.of(members).effects()
        for comparison in paired_comparisons(pair)
        for name, members in groups.members.items()
    }


def effect_thresholds(
    past_effects: Sequence[Mapping[str, FloatArray]], pair: WindowPair, tier_names: Sequence[str], quantile: float
) -> dict[str, FloatArray]:
    """Limit of each effect by "family/group", from the effects of past pairs; `pair` gives the comparisons."""
    limits, sides = {}, {}
    for comparison in paired_comparisons(pair):
        size = 1 if comparison.kind == "vector" else len(comparison.what)
        for name in (ALL, *tier_names):
            key = f"{comparison.family}/{name}"
            past = [effects[key] for effects in past_effects]
            limits[key] = effect_threshold(comparison.family, past, size, quantile, comparison.side)
            sides[key] = comparison.side
    return scale_thresholds(limits, past_effects, sides, quantile)
