"""Per-user measurements of one window of the log, and of the time before it: the input of every drift test."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from monitoring.drift.measurement.encoded_events import EncodedEvents
from monitoring.drift.measurement.known_items import UNSEEN, KnownItems
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

_HALF_LIFE = 90.0  # days


@dataclass(frozen=True)
class WindowMeasurement:
    """Interactions of the U reference users from day `start` to before day `end`, days since 1970 UTC.

    counts: events by named category, [U, C]; without unknown and unseen categories
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
    """Items, categories and tier cuts known before a window of U users, against which it is measured.

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
        user_rows = rows.where(rows.user >= 0)
        num_users, num_labels = self.num_users, len(self.known_items.labels)
        new_item = (user_rows.item < 0) | ~self.is_known_item[user_rows.item]
        unseen = (user_rows.label == UNSEEN) | ((user_rows.label >= 0) & ~self.is_known_label[user_rows.label])
        mean_vector, vector_events = _mean_vector(user_rows, self.known_items.vectors, num_users)
        return WindowMeasurement(
            start,
            end,
            counts=_category_counts(user_rows, self.known_items, num_users),
            events=np.bincount(user_rows.user, minlength=num_users).astype(np.int32),
            new_items=np.bincount(user_rows.user[new_item], minlength=num_users).astype(np.int32),
            unseen_categories=np.bincount(user_rows.user[unseen], minlength=num_users).astype(np.int32),
            labels=user_label_counts(user_rows, num_users, num_labels),
            label_days=user_label_counts(first_event_per_day(user_rows, num_labels), num_users, num_labels),
            mean_vector=mean_vector,
            vector_events=vector_events,
            tier=_tiers_by_spend(log_spend(user_rows, num_users), self.tier_cuts),
        )


def log_spend(rows: EncodedEvents, num_users: int) -> FloatArray:
    """log(1 + spend) of each user, [U]."""
    return np.log1p(np.bincount(rows.user, rows.spend, minlength=num_users))


def matching_tier_cuts(spend: FloatArray, tier: IntArray, num_tiers: int) -> FloatArray:
    """Cuts [T - 1] through the active users' log spend [U] that reproduce the tiers' shares."""
    active = spend > 0
    if not active.any():
        return np.zeros(num_tiers - 1)
    share_below = [float((tier[active] < code).mean()) for code in range(1, num_tiers)]
    return np.quantile(spend[active], share_below)


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


@dataclass(frozen=True)
class UserBaselines:
    """Events, and days with an event, by user and category; they decay with a half-life of 90 days, [U, L]."""

    events: sparse.csr_matrix
    days: sparse.csr_matrix

    @classmethod
    def of(cls, rows: EncodedEvents, start: float, num_users: int, num_labels: int) -> Self:
        """Count events before the reference window's `start`, so that neither window is part of the baseline."""
        past = rows.where(rows.day < start)
        events, days = (
            user_label_counts(part, num_users, num_labels, np.exp2((part.day - start) / _HALF_LIFE))
            for part in (past, first_event_per_day(past, num_labels))
        )
        return cls(events, days)

    @property
    def has_events(self) -> bool:
        """Whether any user has a baseline."""
        return bool(self.events.nnz)

    def favourite_labels(self, before: sparse.csr_matrix, after: sparse.csr_matrix) -> IntArray:
        """Most frequent label over baseline and both windows [U, L], -1 for a user without a baseline, [U].

        A favourite chosen from past events only would regress to the mean in any later window; one chosen from all
        events is unbiased between the windows.
        """
        total = self.events + before + after
        favourite = np.asarray(total.argmax(axis=1)).ravel().astype(np.int32)
        favourite[np.diff(self.events.indptr) == 0] = -1
        return favourite


def events_in_label(window: sparse.csr_matrix, label: IntArray) -> FloatArray:
    """Events of the window [U, L] in one label per user, 0 where it is -1, [U]."""
    count = np.asarray(window[np.arange(len(label)), np.maximum(label, 0)]).ravel().astype(float)
    return np.where(label >= 0, count, 0.0)


def user_label_counts(
    rows: EncodedEvents, num_users: int, num_labels: int, weight: FloatArray | None = None
) -> sparse.csr_matrix:
    """Events of reference users by label, or sums of weights [N], [U, L] float32; unlabelled events are left out."""
    keep = (rows.user >= 0) & (rows.label >= 0)
    data = np.ones(len(keep)) if weight is None else weight
    cells = data[keep].astype(np.float32), (rows.user[keep], rows.label[keep])
    return sparse.coo_matrix(cells, (num_users, num_labels)).tocsr()


def first_event_per_day(rows: EncodedEvents, num_labels: int) -> EncodedEvents:
    """Keep one row per reference user, category and day, since the items of a basket are not independent."""
    known = np.flatnonzero((rows.user >= 0) & (rows.label >= 0))
    day = np.floor(rows.day[known]).astype(np.int64)
    first, span = int(day.min(initial=0)), int(np.ptp(day)) + 1 if len(day) else 1
    cell = (rows.user[known].astype(np.int64) * num_labels + rows.label[known]) * span + (day - first)
    return rows.where(known[np.sort(np.unique(cell, return_index=True)[1])])
