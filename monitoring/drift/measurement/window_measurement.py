"""Per-user measurements of one window of the log: the input of every drift test."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from monitoring.drift.measurement.encoded_events import EncodedEvents
from monitoring.drift.measurement.known_items import UNSEEN, KnownItems
from monitoring.drift.measurement.user_baselines import first_event_per_day, user_label_counts
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class WindowMeasurement:
    """Interactions of the U reference users from day `start` to before day `end`, days since 1970 UTC.

    counts: events by named category, [U, C]; unknown and unseen categories are in none
    events: [U]
    new_items: events on items that are not known, [U]
    unseen_categories: events on items of a category that was not known, [U]
    labels, label_days: events by label, and days with one, [U, L]
    mean_vector: mean item vector, 0 without any, [U, D]
    vector_events: events behind the mean vector, [U]
    tier: the tier given by the window's spend alone, -1 without an event, [U]
    """

    start: float
    end: float
    counts: IntArray
    events: IntArray
    new_items: IntArray
    unseen_categories: IntArray
    labels: sparse.csr_matrix
    label_days: sparse.csr_matrix
    mean_vector: FloatArray
    vector_events: IntArray
    tier: IntArray


@dataclass(frozen=True)
class MeasurementContext:
    """What was known before a window of U users, against which it is measured.

    is_known_item: [I]; is_known_label: [L]
    tier_cuts: log(1 + spend) of a window at which tiers begin, [T - 1]
    """

    known_items: KnownItems
    num_users: int
    is_known_item: BoolArray
    is_known_label: BoolArray
    tier_cuts: FloatArray

    def measure(self, rows: EncodedEvents, start: float, end: float) -> WindowMeasurement:
        """Measure the rows of one window."""
        own = rows.where(rows.user >= 0)
        num_users, num_labels = self.num_users, len(self.known_items.labels)
        new_item = (own.item < 0) | ~self.is_known_item[own.item]
        unseen = (own.label == UNSEEN) | ((own.label >= 0) & ~self.is_known_label[own.label])
        mean_vector, vector_events = _mean_vector(own, self.known_items.vectors, num_users)
        return WindowMeasurement(
            start,
            end,
            counts=_category_counts(own, self.known_items, num_users),
            events=np.bincount(own.user, minlength=num_users).astype(np.int32),
            new_items=np.bincount(own.user[new_item], minlength=num_users).astype(np.int32),
            unseen_categories=np.bincount(own.user[unseen], minlength=num_users).astype(np.int32),
            labels=user_label_counts(own, num_users, num_labels),
            label_days=user_label_counts(first_event_per_day(own, num_labels), num_users, num_labels),
            mean_vector=mean_vector,
            vector_events=vector_events,
            tier=_tiers_by_spend(log_spend(own, num_users), self.tier_cuts),
        )


def log_spend(rows: EncodedEvents, num_users: int) -> FloatArray:
    """log(1 + spend) of each user, [U]."""
    spend: FloatArray = np.log1p(np.bincount(rows.user, rows.spend, minlength=num_users))
    return spend


def matching_tier_cuts(spend: FloatArray, tier: IntArray, num_tiers: int) -> FloatArray:
    """Cuts [T - 1] through the active users' log spend [U] that reproduce the tiers' shares."""
    active = spend > 0
    if not active.any():
        return np.zeros(num_tiers - 1)
    share_below = [float((tier[active] < code).mean()) for code in range(1, num_tiers)]
    cuts: FloatArray = np.quantile(spend[active], share_below)
    return cuts


def _tiers_by_spend(spend: FloatArray, cuts: FloatArray) -> IntArray:
    """Tier of each user, -1 without spend, [U]."""
    tier = (spend[:, None] > cuts).sum(axis=1)
    return np.where(spend > 0, tier, -1).astype(np.int8)


def _category_counts(rows: EncodedEvents, known_items: KnownItems, num_users: int) -> IntArray:
    keep, size = rows.label >= 0, len(known_items.names)
    cell = rows.user[keep].astype(np.int64) * size + known_items.group[rows.label[keep]]
    return np.bincount(cell, minlength=num_users * size).reshape(num_users, size).astype(np.int32)


def _mean_vector(rows: EncodedEvents, vectors: FloatArray, num_users: int) -> tuple[FloatArray, IntArray]:
    known = rows.item >= 0
    user, item = rows.user[known], rows.item[known]
    count = np.bincount(user, minlength=num_users)
    total = np.stack(
        [np.bincount(user, column[item], minlength=num_users) for column in vectors.T.astype(float)], axis=1
    )
    return (total / np.maximum(count, 1)[:, None]).astype(np.float32), count.astype(np.int32)
