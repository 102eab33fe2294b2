"""What is compared between two windows: per family, each user's value before and after, and how much it weighs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
from scipy import sparse

from monitoring.drift.measurement.known_items import KnownItems
from monitoring.drift.measurement.user_baselines import UserBaselines, events_at
from monitoring.drift.measurement.window_measurement import WindowMeasurement
from monitoring.drift.statistics.log_likelihood import WindowLikelihood
from monitoring.drift.statistics.permutation import MAX_USERS, ComparisonFamily
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

Kind = Literal["share", "level", "vector"]
MOVES = "evidence that users left their favourite for others of the large categories"
_MAX_RIDGE = 1e-6
# events that an expectation is drawn to everybody's by, and the share of users who move; of several, these told moves
# from chance best on windows of the real year that were dealt at other days than the benchmark's, which overlap them
_DAYS, _EVENTS = (30.0, 0.2), (60.0, 0.6)


@dataclass(frozen=True)
class PairedComparison:
    """One family of paired comparisons over the same users.

    what: names, [M]
    before, after: each user's value, [U, M]
    weight: 0 leaves a user out; the same when the windows change places, [U]
    kind: share, whose effect is Cohen's h; level, whose effect is the difference; vector, whose effect is one distance
    side: 1 when only a rise counts, -1 when only a fall does, 0 for both
    """

    family: str
    what: tuple[str, ...]
    before: FloatArray
    after: FloatArray
    weight: FloatArray
    kind: Kind
    side: int = 0

    def of(self, members: BoolArray) -> Self:
        """Only these users."""
        return replace(
            self, before=self.before[members], after=self.after[members], weight=self.weight[members]
        )

    def block(self, members: BoolArray) -> ComparisonFamily:
        """The weighted changes of these users, whose signs flip when windows change places; all others have 0.

        Where users are so many that no signs are drawn, the others are left out.
        """
        part = self.of(members)
        difference = (part.after - part.before) * part.weight[:, None]
        if self.kind == "vector":
            difference = difference @ whitening((part.before + part.after) / 2, part.weight)
        if len(members) > MAX_USERS:
            return ComparisonFamily(difference, self.side, joint=self.kind == "vector")
        spread = np.zeros(self.before.shape)
        spread[members] = difference
        return ComparisonFamily(spread, self.side, joint=self.kind == "vector")

    def means(self) -> tuple[FloatArray, FloatArray]:
        """Weighted means over users before and after, [M] each; 0 without users."""
        total = max(float(self.weight.sum()), 1e-12)
        return self.weight @ self.before / total, self.weight @ self.after / total

    def effects(self) -> FloatArray:
        """Signed size of each change, [M]; for a vector the Mahalanobis length of the mean change, [1]."""
        before, after = self.means()
        if self.kind == "share":
            return cohens_h(before, after)
        if self.kind == "level":
            return after - before
        middle = (self.before + self.after) / 2
        whitened = (after - before) @ whitening(middle, self.weight)
        return np.array([float(np.linalg.norm(whitened))])


def cohens_h(before: FloatArray, after: FloatArray) -> FloatArray:
    """Difference of two shares on the arcsine scale (Cohen, 1988); .2 is small by the usual words, [M]."""
    angle: FloatArray = 2 * (
        np.arcsin(np.sqrt(np.clip(after, 0, 1))) - np.arcsin(np.sqrt(np.clip(before, 0, 1)))
    )
    return angle


def whitening(values: FloatArray, weight: FloatArray) -> FloatArray:
    """What makes the weighted covariance of values [U, D] the identity, [D, D]."""
    share = weight / max(float(weight.sum()), 1e-12)
    centred = values - share @ values
    covariance = (centred * share[:, None]).T @ centred
    scale, axes = np.linalg.eigh(covariance)
    floor = max(float(scale.max(initial=0.0)) * _MAX_RIDGE, 1e-12)
    white: FloatArray = axes / np.sqrt(np.maximum(scale, floor))
    return white


@dataclass(frozen=True)
class WindowPair:
    """Two windows of the same U users, with what was known before both: tier [U], categories and habits."""

    before: WindowMeasurement
    after: WindowMeasurement
    tier: IntArray
    catalogue: KnownItems
    habits: UserBaselines

    @cached_property
    def favourite(self) -> IntArray:
        """Label that each user likes best, -1 without habits, [U]."""
        return self.habits.favourites(self.before.labels, self.after.labels)


def contrasts(pair: WindowPair) -> Iterator[PairedComparison]:
    """All that two windows can be compared by."""
    before, after = pair.before, pair.after
    yield _share(
        "shares", pair.catalogue.names, before.counts, after.counts, before.counts.sum(1), after.counts.sum(1)
    )
    yield _interests(pair)
    yield _moves(pair)
    yield _arrivals(pair)
    yield _embedding(before, after)
    yield _transitions(before, after, pair.tier)
    yield _volume(before, after)
    yield _one("new_items", "items that the catalogue does not have", before, after, "new_items", 1)
    yield _one("unseen_categories", "categories never met before", before, after, "unseen", 1)


def _share(
    family: str,
    what: tuple[str, ...],
    before: IntArray | FloatArray,
    after: IntArray | FloatArray,
    num_before: IntArray,
    num_after: IntArray,
    side: int = 0,
) -> PairedComparison:
    """Shares of a user's events. A user weighs as the root of the harmonic mean of both numbers of events.

    Equal weights let users with a handful of events decide, weights by events let a few heavy users; measured on
    real months, the root has the best power of these at the same rate of false alarms.
    """
    low, high = np.minimum(num_before, num_after), np.maximum(num_before, num_after)
    weight = np.sqrt(low * (high / np.maximum(low + high, 1)))
    return PairedComparison(
        family,
        what,
        before / np.maximum(num_before, 1)[:, None],
        after / np.maximum(num_after, 1)[:, None],
        weight,
        "share",
        side,
    )


def _one(
    family: str, what: str, before: WindowMeasurement, after: WindowMeasurement, name: str, side: int
) -> PairedComparison:
    """Share of a user's events that one count is."""
    counts = getattr(before, name)[:, None], getattr(after, name)[:, None]
    return _share(family, (what,), *counts, before.events, after.events, side)


def _interests(pair: WindowPair) -> PairedComparison:
    old, new = (events_at(one.labels, pair.favourite)[:, None] for one in (pair.before, pair.after))
    num_before, num_after = pair.before.events, pair.after.events
    return _share("interests", ("own favourite category",), old, new, num_before, num_after, -1)


def _moves(pair: WindowPair) -> PairedComparison:
    """Moves to any of the large categories, told by days: a basket full of one strange category is one day, no habit.

    Small ones are left out: everybody now and then buys from some, so that among all categories chance drowns a move.
    """
    days = pair.before.label_days, pair.after.label_days
    old, new = (
        one.moves(pair.catalogue.named)[:, None] for one in _evidence(pair, *days, pair.habits.days, _DAYS)
    )
    everybody = np.ones(len(pair.tier))
    return _beyond_activity(pair, PairedComparison("moves", (MOVES,), old, new, everybody, "level", 1))


def _arrivals(pair: WindowPair) -> PairedComparison:
    """Moves to one category, told by events: what many take up together tells more than days can."""
    old, new = (
        one.arrivals(pair.catalogue.named)
        for one in _evidence(pair, pair.before.labels, pair.after.labels, pair.habits.events, _EVENTS)
    )
    names, everybody = pair.catalogue.names[:-1], np.ones(len(pair.tier))
    return _beyond_activity(pair, PairedComparison("arrivals", names, old, new, everybody, "level", 1))


def _evidence(
    pair: WindowPair,
    before: sparse.csr_matrix,
    after: sparse.csr_matrix,
    habits: sparse.csr_matrix,
    settings: tuple[float, float],
) -> Iterator[WindowLikelihood]:
    """That of each window, beside habits and the other one."""
    yield WindowLikelihood(before, habits + after, pair.favourite, *settings)
    yield WindowLikelihood(after, habits + before, pair.favourite, *settings)


def _beyond_activity(pair: WindowPair, told: PairedComparison) -> PairedComparison:
    """Evidence of the users who did anything in both windows, as if each had done as much in both.

    Who does less has less evidence against a move. The slope of the change of evidence on the change of log events,
    through the origin and a tier, takes that away; it stays as it is when windows change places, so that a sign flip
    is still exact.
    """
    num_before, num_after = pair.before.events, pair.after.events
    both = (num_before > 0) & (num_after > 0)
    more = np.where(both, np.log(np.maximum(num_after, 1)) - np.log(np.maximum(num_before, 1)), 0.0)
    after = told.after.copy()
    for one in np.unique(pair.tier):
        members = pair.tier == one
        size = float(more[members] @ more[members])
        if size > 0:
            slope = more[members] @ (told.after - told.before)[members] / size
            after[members] -= more[members, None] * slope
    return replace(told, after=after, weight=both.astype(float))


def _embedding(before: WindowMeasurement, after: WindowMeasurement) -> PairedComparison:
    low = np.minimum(before.vectored, after.vectored)
    high = np.maximum(before.vectored, after.vectored)
    weight = np.sqrt(low * (high / np.maximum(low + high, 1)))
    names = tuple(f"dimension {number}" for number in range(before.vector.shape[1]))
    return PairedComparison(
        "embedding", names, before.vector.astype(float), after.vector.astype(float), weight, "vector"
    )


def _transitions(before: WindowMeasurement, after: WindowMeasurement, tier: IntArray) -> PairedComparison:
    """Who lives up to their tier, and who lives beyond it, by the spend of the window alone."""
    values = [np.stack([one.tier >= tier, one.tier > tier], axis=1).astype(float) for one in (before, after)]
    names = ("users who live up to their tier", "users who live beyond their tier")
    return PairedComparison("transitions", names, values[0], values[1], np.ones(len(tier)), "share")


def _volume(before: WindowMeasurement, after: WindowMeasurement) -> PairedComparison:
    """Log of 1 + events, so that a few heavy users do not decide; a user who stays away counts."""
    weight = ((before.events > 0) | (after.events > 0)).astype(float)
    values = np.log1p(before.events)[:, None], np.log1p(after.events)[:, None]
    return PairedComparison("volume", ("events a user",), *values, weight, "level")
