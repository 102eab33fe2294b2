"""The champion's last window before the cut, measured once, with all that newer windows are held against."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.catalogue import Catalogue
from monitoring.drift.contrasts import contrasts
from monitoring.drift.habits import Habits
from monitoring.drift.observation import Lens, Observation, cuts_like, spend
from monitoring.drift.rows import Rows, within
from monitoring.drift.thresholds import threshold
from tierrec_core.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.errors import EmptyDataError
from tierrec_core.interactions import Interactions, from_days
from tierrec_core.settings import Monitor
from tierrec_core.tiers import TIER_NAMES, Tiering

ALL = "all"
_YEAR = 364.0  # whole weeks, so that weekdays meet weekdays
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Reference:
    """What newer windows are held against; made with the champion and never measured again.

    cut: the day before which the champion learned
    users: whose windows are compared, [U]; tier: theirs at the cut, index into TIER_NAMES, [U]
    habits: what they did before the window `observation`
    tier_cuts: log of 1 + spend of a window that parts the tiers, [T - 1]
    thresholds: effect to exceed, by "family/tier", one a comparison of the family
    num_past: pairs of past windows behind the thresholds
    """

    cut: float
    catalogue: Catalogue
    users: pd.Index
    tier: IntArray
    habits: Habits
    tier_cuts: FloatArray
    observation: Observation
    thresholds: dict[str, FloatArray]
    num_past: int
    settings: Monitor
    seed: int

    @classmethod
    def build(
        cls,
        events: pd.DataFrame,
        items: pd.DataFrame,
        cut: float,
        tiering: Tiering,
        history: Interactions,
        settings: Monitor,
        seed: int,
    ) -> Self:
        """Measure the window before the cut, and pairs of windows before it, from EVENTS and ITEMS.

        history, tiering: what the champion learned from, and the tiers of its users, both as of the cut.
        Raises EmptyDataError when the window holds no event of these users.
        """
        past = _Past.of(events, items, cut, tiering, history, settings)
        lens, tier = past.lens(cut), tiering.tier.astype(np.int8)
        observation = lens.measure(
            past.window(cut - settings.window_days, cut), cut - settings.window_days, cut
        )
        if not observation.events.any():
            raise EmptyDataError(
                f"reference: no event of the {len(history.users)} users in the {settings.window_days:g} days before "
                f"{from_days(cut):%Y-%m-%d}; raise monitor.window_days or look for a gap in the log"
            )
        pairs = list(past.effects())
        return cls(
            cut=cut,
            catalogue=past.catalogue,
            users=history.users,
            tier=tier,
            habits=lens.habits,
            tier_cuts=past.cuts,
            observation=observation,
            thresholds=_thresholds(pairs, past, observation, tier, settings.quantile),
            num_past=len(pairs),
            settings=settings,
            seed=seed,
        )

    @property
    def groups(self) -> dict[str, BoolArray]:
        """The users that are judged together: everybody, and each tier, [U] each."""
        return groups_of(self.tier)

    @property
    def lens(self) -> Lens:
        """What a window after the cut is measured with."""
        items, labels = len(self.catalogue.items), len(self.catalogue.labels)
        return Lens(self.catalogue, self.habits, np.ones(items, bool), np.ones(labels, bool), self.tier_cuts)


def observe(reference: Reference, events: pd.DataFrame, items: pd.DataFrame, end: float) -> Observation:
    """Measure the window of the reference's length that ends before day `end`; only its rows of EVENTS are used."""
    start = end - reference.settings.window_days
    rows = Rows.of(within(events, start, end), items, reference.users, reference.catalogue)
    return reference.lens.measure(rows, start, end)


def newest_complete_end(events: pd.DataFrame, settings: Monitor, now: datetime | None) -> float:
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


def groups_of(tier: IntArray) -> dict[str, BoolArray]:
    """Everybody, and the users of each tier [U]."""
    tiers = {name: tier == code for code, name in enumerate(TIER_NAMES)}
    return {ALL: np.ones(len(tier), bool), **tiers}


@dataclass(frozen=True)
class _Past:
    """The log before the cut, encoded once, so that many windows can be measured.

    first_item: for each item of the catalogue, the day since when enough users had met it, [I]
    first_label: the day on which each category was first met, [L]
    """

    rows: Rows
    catalogue: Catalogue
    history: Interactions
    tiering: Tiering
    cuts: FloatArray
    first_item: FloatArray
    first_label: FloatArray
    cut: float
    settings: Monitor

    @classmethod
    def of(
        cls,
        events: pd.DataFrame,
        items: pd.DataFrame,
        cut: float,
        tiering: Tiering,
        history: Interactions,
        settings: Monitor,
    ) -> Self:
        known = within(events, None, cut)
        catalogue = Catalogue.fit(known["item_id"], items, tiering, history, settings.num_categories)
        rows = Rows.of(known, items, history.users, catalogue)
        own = rows.where(rows.user >= 0)
        last = spend(own.between(cut - settings.window_days, cut), len(history.users))
        first_label = np.full(len(catalogue.labels), np.inf)
        named = rows.label >= 0
        np.minimum.at(first_label, rows.label[named], rows.day[named])
        return cls(
            rows,
            catalogue,
            history,
            tiering,
            cuts_like(last, tiering.tier, len(TIER_NAMES)),
            _known_since(rows, len(catalogue.items)),
            first_label,
            cut,
            settings,
        )

    def window(self, start: float, end: float) -> Rows:
        return self.rows.between(start, end)

    def lens(self, moment: float) -> Lens:
        """What windows on both sides of the moment are measured with; at the cut it is the reference's own."""
        before = self.rows.where(self.rows.day < moment - self.settings.window_days)
        habits = Habits.of(before, len(self.history.users), len(self.catalogue.labels))
        known = (self.first_item < moment) | (moment >= self.cut)
        return Lens(self.catalogue, habits, known, self.first_label < moment, self.cuts)

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
            lens = self.lens(moment)
            before = lens.measure(self.window(moment - width, moment), moment - width, moment)
            after = lens.measure(self.window(moment, moment + width), moment, moment + width)
            if before.events.any() and after.events.any():
                tier = self.tiering.assign(self.history.before(moment))
                yield _effects(before, after, tier, self.catalogue)


def _effects(
    before: Observation, after: Observation, tier: IntArray, catalogue: Catalogue
) -> dict[str, FloatArray]:
    return {
        f"{contrast.family}/{name}": contrast.of(members).effects()
        for contrast in contrasts(before, after, tier, catalogue)
        for name, members in groups_of(tier).items()
    }


def _thresholds(
    pairs: list[dict[str, FloatArray]], past: _Past, own: Observation, tier: IntArray, quantile: float
) -> dict[str, FloatArray]:
    found = {}
    for contrast in contrasts(own, own, tier, past.catalogue):
        for name in groups_of(tier):
            key = f"{contrast.family}/{name}"
            size = 1 if contrast.kind == "vector" else len(contrast.what)
            found[key] = threshold(
                contrast.family, [one[key] for one in pairs], size, quantile, contrast.side
            )
    return found


def _known_since(rows: Rows, num_items: int) -> FloatArray:
    """The day since when each item of the catalogue had as many users as its least met item has in the end, [I]."""
    met = rows.where(rows.item >= 0)
    order = np.lexsort((met.day, met.who, met.item))
    item, who, day = met.item[order], met.who[order], met.day[order]
    fresh = np.r_[True, (np.diff(item) != 0) | (np.diff(who) != 0)] if len(item) else np.zeros(0, bool)
    item, day = item[fresh], day[fresh]
    order = np.lexsort((day, item))
    item, day = item[order], day[order]
    start = np.searchsorted(item, np.arange(num_items))
    enough = int(np.bincount(item, minlength=num_items).min(initial=1))
    place = np.minimum(start + max(enough, 1) - 1, max(len(day) - 1, 0))
    return day[place] if len(day) else np.full(num_items, -np.inf)
