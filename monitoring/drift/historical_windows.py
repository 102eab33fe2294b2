"""The log before the cut, encoded once, and pairs of its windows measured as the reference and its successors are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.measurement.encoded_events import EncodedEvents, within
from monitoring.drift.measurement.known_items import KnownItems
from monitoring.drift.measurement.user_baselines import UserBaselines
from monitoring.drift.measurement.window_measurement import MeasurementContext, cuts_like, spend
from monitoring.drift.statistics.effect_limits import raised, threshold
from monitoring.drift.statistics.paired_tests import WindowPair, contrasts
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import MonitorSettings
from tierrec_core.tiers import TIER_NAMES, Tiering

ALL = "all"
GROUPS = (ALL, *TIER_NAMES)
_YEAR = 364.0  # whole weeks, so that weekdays meet weekdays


@dataclass(frozen=True)
class BaselineStats:
    """Which users are compared, and in which tier, before the first of two windows: tier [U], established [U]."""

    tier: IntArray
    established: BoolArray

    @property
    def groups(self) -> dict[str, BoolArray]:
        """The users that are judged together: everybody, and each tier, [U] each."""
        tiers = {name: self.established & (self.tier == code) for code, name in enumerate(TIER_NAMES)}
        return {ALL: self.established, **tiers}


@dataclass(frozen=True)
class HistoricalWindows:
    """All that is known before the cut.

    first_item: for each item of the catalogue, the day since when enough users had met it, [I]
    first_label: the day on which each category was first met, [L]
    cuts: log of 1 + spend of a window that parts the tiers, [T - 1]
    """

    rows: EncodedEvents
    catalogue: KnownItems
    history: Interactions
    tiering: Tiering
    first_item: FloatArray
    first_label: FloatArray
    cuts: FloatArray
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
        """Encode EVENTS and ITEMS as they were known at the cut."""
        known, width = within(events, None, cut), settings.window_days
        earlier = history.before(cut - width)
        catalogue = KnownItems.fit(
            known["item_id"], items, tiering, earlier if len(earlier) else history, settings.num_categories
        )
        rows = EncodedEvents.of(known, items, history.users, catalogue)
        first_label = np.full(len(catalogue.labels), np.inf)
        named = rows.label >= 0
        np.minimum.at(first_label, rows.label[named], rows.day[named])
        since = _known_since(rows, len(catalogue.items))
        bare = cls(rows, catalogue, history, tiering, since, first_label, np.zeros(0), cut, settings)
        return cls(rows, catalogue, history, tiering, since, first_label, bare._cuts(), cut, settings)

    def standing(self, moment: float) -> BaselineStats:
        """Who is compared across the moment; where the log does not reach back, everybody, in the tiers of the cut.

        Tiers as of the moment would be drawn from the window before it: the busy would be those for whom it was a busy
        one, and the next would always be a fall.
        """
        before = self.history.before(moment - self.settings.window_days)
        if not len(before):
            return BaselineStats(self.tiering.tier.astype(np.int8), np.ones(self.history.num_users, bool))
        return BaselineStats(self.tiering.assign(before).astype(np.int8), np.diff(before.offsets) > 0)

    def lens(self, moment: float) -> MeasurementContext:
        """What the windows on both sides of the moment are measured with: what was known before the first of them."""
        start = moment - self.settings.window_days
        known = self.first_item < start, self.first_label < start
        return MeasurementContext(self.catalogue, self.history.num_users, *known, self.cuts)

    def habits(self, moment: float) -> UserBaselines:
        """What users did before the first of the windows on both sides of the moment."""
        start = moment - self.settings.window_days
        return UserBaselines.of(self.rows, start, self.history.num_users, len(self.catalogue.labels))

    def moments(self) -> Iterator[float]:
        """The days that part pairs of past windows, newest first: neighbours, and the pair a year before the cut."""
        first, width = float(self.rows.day.min(initial=self.cut)), self.settings.window_days
        steps = self.cut - width - np.arange(self.settings.past_windows) * self.settings.past_step_days
        for moment in (*steps, self.cut - _YEAR):
            if moment - 2 * width >= first:
                yield float(moment)

    def effects(self) -> Iterator[dict[str, FloatArray]]:
        """Effects between the windows on both sides of each moment, by "family/tier"."""
        width = self.settings.window_days
        for moment in self.moments():
            lens, standing = self.lens(moment), self.standing(moment)
            before = lens.measure(self.rows.between(moment - width, moment), moment - width, moment)
            after = lens.measure(self.rows.between(moment, moment + width), moment, moment + width)
            if before.events.any() and after.events.any():
                pair = WindowPair(before, after, standing.tier, self.catalogue, self.habits(moment))
                yield effects_of(pair, standing)

    def _cuts(self) -> FloatArray:
        """From the window before the reference's, or from that one itself where the log begins with it."""
        start, width = self.cut - self.settings.window_days, self.settings.window_days
        own = self.rows.where(self.rows.user >= 0)
        earlier = own.between(start - width, start)
        window = earlier if len(earlier.user) else own.between(start, self.cut)
        money = spend(window, self.history.num_users)
        return cuts_like(money, self.standing(self.cut).tier, len(TIER_NAMES))


def effects_of(pair: WindowPair, standing: BaselineStats) -> dict[str, FloatArray]:
    """Effects of each contrast in each group, by "family/tier"."""
    return {
        f"{contrast.family}/{name}": contrast.of(members).effects()
        for contrast in contrasts(pair)
        for name, members in standing.groups.items()
    }


def thresholds(
    pairs: Sequence[Mapping[str, FloatArray]], own: WindowPair, quantile: float
) -> dict[str, FloatArray]:
    """What each effect must exceed, by "family/tier", from the effects of past pairs; own says which there are."""
    found, sides = {}, {}
    for contrast in contrasts(own):
        size = 1 if contrast.kind == "vector" else len(contrast.what)
        for name in GROUPS:
            key = f"{contrast.family}/{name}"
            past = [one[key] for one in pairs]
            found[key] = threshold(contrast.family, past, size, quantile, contrast.side)
            sides[key] = contrast.side
    return raised(found, pairs, sides, quantile)


def _known_since(rows: EncodedEvents, num_items: int) -> FloatArray:
    """The day since when each item of the catalogue had as many users as its least met item has in the end, [I]."""
    met = rows.where(rows.item >= 0)
    if not len(met.item):
        return np.full(num_items, np.inf)
    order = np.lexsort((met.day, met.who, met.item))
    item, who, day = met.item[order], met.who[order], met.day[order]
    fresh = np.r_[True, (np.diff(item) != 0) | (np.diff(who) != 0)]
    item, day = item[fresh], day[fresh]
    order = np.lexsort((day, item))
    item, day = item[order], day[order]
    users = np.bincount(item, minlength=num_items)
    enough = int(users[users > 0].min())
    last = np.searchsorted(item, np.arange(num_items)) + enough - 1
    return np.where(users > 0, day[np.minimum(last, len(day) - 1)], np.inf)
