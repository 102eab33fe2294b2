"""Paired comparisons of two windows: per family, each user's value before and after, and the user's weight."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
from scipy import sparse

from monitoring.drift.measurement.known_items import KnownItems
from monitoring.drift.measurement.window_measurement import UserBaselines, WindowMeasurement, events_in_label
from monitoring.drift.statistics.log_likelihood import WindowLikelihood
from monitoring.drift.statistics.permutation import MAX_USERS, ComparisonFamily
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

Kind = Literal["share", "level", "vector"]
_RIDGE = 1e-6  # relative to the largest eigenvalue
# WindowLikelihood's prior and movers, chosen for power on windows of the real year with reassigned baskets, on days
# that the benchmark does not use
_DAYS, _EVENTS = (30.0, 0.2), (60.0, 0.6)


@dataclass(frozen=True)
class PairedComparison:
    """One family of paired comparisons over the same users.

    what: names, [M]
    before, after: each user's value, [U, M]
    weight: 0 excludes a user; the same when the windows are swapped, [U]
    kind: share (effect: Cohen's h), level (effect: difference) or vector (effect: one Mahalanobis distance)
    side: 1 tests for a rise, -1 for a fall, 0 for either
    """

    family: str
    what: tuple[str, ...]
    before: FloatArray
    after: FloatArray
    weight: FloatArray
    kind: Kind
    side: int = 0

    def of(self, members: BoolArray) -> Self:
        """Restrict to a subset of the users."""
        return replace(self, before=self.before[members], after=self.after[members], weight=self.weight[members])

    def comparison_family(self, members: BoolArray) -> ComparisonFamily:
        """Weighted differences of these users for the permutation test, 0 for all others.

        With more than MAX_USERS users, for whom no signs are drawn, all others are omitted.
        """
        part = self.of(members)
        difference = (part.after - part.before) * part.weight[:, None]
        if self.kind == "vector":
            difference = difference @ whitening_matrix((part.before + part.after) / 2, part.weight)
        if len(members) <= MAX_USERS:
            member_rows = difference
            difference = np.zeros(self.before.shape)
            difference[members] = member_rows
        return ComparisonFamily(difference, self.side, joint=self.kind == "vector")

    def means(self) -> tuple[FloatArray, FloatArray]:
        """Weighted means over users before and after, [M] each; 0 without users."""
        total = max(float(self.weight.sum()), 1e-12)
        return self.weight @ self.before / total, self.weight @ self.after / total

    def effects(self) -> FloatArray:
        """Signed effect sizes, [M]; for a vector the Mahalanobis length of the mean change, [1]."""
        before, after = self.means()
        if self.kind == "share":
            return cohens_h(before, after)
        if self.kind == "level":
            return after - before
        middle = (self.before + self.after) / 2
        whitened = (after - before) @ whitening_matrix(middle, self.weight)
        return np.array([float(np.linalg.norm(whitened))])


def cohens_h(before: FloatArray, after: FloatArray) -> FloatArray:
    """Difference of two shares on the arcsine scale (Cohen, 1988); .2 is small, [M]."""
    return 2 * (np.arcsin(np.sqrt(np.clip(after, 0, 1))) - np.arcsin(np.sqrt(np.clip(before, 0, 1))))


def whitening_matrix(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Matrix that maps values [U, D] to an identity weighted covariance, [D, D]."""
    share = weight / max(float(weight.sum()), 1e-12)
    centred = values - share @ values
    covariance = (centred * share[:, None]).T @ centred
    eigenvalues, axes = np.linalg.eigh(covariance)
    ridge = max(float(eigenvalues.max(initial=0.0)) * _RIDGE, 1e-12)
    whitening: FloatArray = axes / np.sqrt(np.maximum(eigenvalues, ridge))
    return whitening


@dataclass(frozen=True)
class WindowPair:
    """Two windows of the same U users, with the tiers [U], categories and baselines from before both."""

    before: WindowMeasurement
    after: WindowMeasurement
    tier: IntArray
    known_items: KnownItems
    baselines: UserBaselines

    @cached_property
    def favourite(self) -> IntArray:
        """Most frequent label of each user, -1 without a baseline, [U]."""
        return self.baselines.favourite_labels(self.before.labels, self.after.labels)


def paired_comparisons(pair: WindowPair) -> Iterator[PairedComparison]:
    """All families by which two windows are compared."""
    before, after = pair.before, pair.after
    sizes = before.counts.sum(1), after.counts.sum(1)
    yield _share("shares", pair.known_items.names, before.counts, after.counts, *sizes)
    yield _favourite_share(pair)
    yield _moves(pair)
    yield _arrivals(pair)
    yield _embedding(before, after)
    yield _tier_transitions(before, after, pair.tier)
    yield _volume(before, after)
    for family, what, old, new in (
        ("new_items", "items new since the cut", before.new_items, after.new_items),
        ("unseen_categories", "categories new since the cut", before.unseen_categories, after.unseen_categories),
    ):
        yield _share(family, (what,), old[:, None], new[:, None], before.events, after.events, 1)


def _share(
    family: str,
    what: tuple[str, ...],
    before: IntArray | FloatArray,
    after: IntArray | FloatArray,
    num_before: IntArray,
    num_after: IntArray,
    side: int = 0,
) -> PairedComparison:
    old, new = before / np.maximum(num_before, 1)[:, None], after / np.maximum(num_after, 1)[:, None]
    return PairedComparison(family, what, old, new, _event_weight(num_before, num_after), "share", side)


def _event_weight(num_before: IntArray, num_after: IntArray) -> FloatArray:
    """Square root of half the harmonic mean of a user's two event counts, [U].

    Equal weights are dominated by users with few events, weights by events by a few heavy users; on real months the
    square root had the most power at the same false alarm rate.
    """
    low, high = np.minimum(num_before, num_after), np.maximum(num_before, num_after)
    weight: FloatArray = np.sqrt(low * (high / np.maximum(low + high, 1)))
    return weight


def _favourite_share(pair: WindowPair) -> PairedComparison:
    old, new = (events_in_label(window.labels, pair.favourite)[:, None] for window in (pair.before, pair.after))
    sizes = pair.before.events, pair.after.events
    return _share("interests", ("own favourite category",), old, new, *sizes, -1)


def _moves(pair: WindowPair) -> PairedComparison:
    """Moves to any named category, by days: one basket full of a new category is one day.

    Small categories are left out, since occasional purchases from them add noise.
    """
    labels = pair.known_items.named_labels
    old, new = (
        likelihood.moves(labels)[:, None]
        for likelihood in _likelihoods(pair, pair.before.label_days, pair.after.label_days, pair.baselines.days, _DAYS)
    )
    what = ("log likelihood of moves from the favourite to other large categories",)
    equal = np.ones(len(pair.tier))
    return _adjust_for_activity(pair, PairedComparison("moves", what, old, new, equal, "level", 1))


def _arrivals(pair: WindowPair) -> PairedComparison:
    """Moves to one category, by events, which have more power than days when many users move together."""
    old, new = (
        likelihood.arrivals(pair.known_items.named_labels)
        for likelihood in _likelihoods(pair, pair.before.labels, pair.after.labels, pair.baselines.events, _EVENTS)
    )
    names, equal = pair.known_items.names[:-1], np.ones(len(pair.tier))
    return _adjust_for_activity(pair, PairedComparison("arrivals", names, old, new, equal, "level", 1))


def _likelihoods(
    pair: WindowPair,
    before: sparse.csr_matrix,
    after: sparse.csr_matrix,
    baseline: sparse.csr_matrix,
    settings: tuple[float, float],
) -> Iterator[WindowLikelihood]:
    """The likelihood of each window, given the baseline and the other window."""
    yield WindowLikelihood(before, baseline + after, pair.favourite, *settings)
    yield WindowLikelihood(after, baseline + before, pair.favourite, *settings)


def _adjust_for_activity(pair: WindowPair, comparison: PairedComparison) -> PairedComparison:
    """Restrict to users active in both windows, and remove the effect of a change in their activity.

    Fewer events give less evidence against a move. The change of the log ratio is regressed on the change of log
    events, through the origin within each tier; the slope does not change when the windows are swapped, so a sign
    flip remains exact.
    """
    num_before, num_after = pair.before.events, pair.after.events
    both = (num_before > 0) & (num_after > 0)
    growth = np.where(both, np.log(np.maximum(num_after, 1)) - np.log(np.maximum(num_before, 1)), 0.0)
    after = comparison.after.copy()
    for tier in np.unique(pair.tier):
        members = pair.tier == tier
        size = float(growth[members] @ growth[members])
        if size > 0:
            slope = growth[members] @ (comparison.after - comparison.before)[members] / size
            after[members] -= growth[members, None] * slope
    return replace(comparison, after=after, weight=both.astype(float))


def _embedding(before: WindowMeasurement, after: WindowMeasurement) -> PairedComparison:
    weight = _event_weight(before.vector_events, after.vector_events)
    names = tuple(f"dimension {number}" for number in range(before.mean_vector.shape[1]))
    values = before.mean_vector.astype(float), after.mean_vector.astype(float)
    return PairedComparison("embedding", names, *values, weight, "vector")


def _tier_transitions(before: WindowMeasurement, after: WindowMeasurement, tier: IntArray) -> PairedComparison:
    """Users at or above their tier, and above it, by the spend of the window alone."""
    values = [np.stack([window.tier >= tier, window.tier > tier], axis=1).astype(float) for window in (before, after)]
    names = ("users who spend as in their tier or more", "users who spend as in a higher tier")
    return PairedComparison("transitions", names, values[0], values[1], np.ones(len(tier)), "share")


def _volume(before: WindowMeasurement, after: WindowMeasurement) -> PairedComparison:
    """log(1 + events), so that a few heavy users do not dominate; users inactive in one window are included."""
    weight = ((before.events > 0) | (after.events > 0)).astype(float)
    values = np.log1p(before.events)[:, None], np.log1p(after.events)[:, None]
    return PairedComparison("volume", ("events a user",), *values, weight, "level")
