"""One window of the log, measured for each reference user: all that a verdict needs of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from monitoring.drift.measurement.encoded_events import EncodedEvents
from monitoring.drift.measurement.known_items import UNSEEN, KnownItems
from monitoring.drift.measurement.user_baselines import count_labels, once_a_day
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class WindowMeasurement:
    """What the U users of the reference did from day `start` to before day `end`, days since 1970 UTC.

    counts: events by category of the catalogue's names, [U, C]; unknown and unseen categories are in none
    events, days: events and days with an event, [U]
    new_items: events on items that the catalogue does not have, [U]
    unseen: events on items of a category that nobody had met, [U]
    labels, label_days: events by each of the catalogue's labels, and days with one, [U, L]
    vector: mean vector of the items, 0 without any, [U, D]; vectored: events behind it, [U]
    tier: the tier that the window's spend alone would give, -1 without an event, [U]
    new_users, new_user_events: people whom the reference does not have, and what they did
    """

    start: float
    end: float
    counts: IntArray
    events: IntArray
    days: IntArray
    new_items: IntArray
    unseen: IntArray
    labels: sparse.csr_matrix
    label_days: sparse.csr_matrix
    vector: FloatArray
    vectored: IntArray
    tier: IntArray
    new_users: int
    new_user_events: int


@dataclass(frozen=True)
class MeasurementContext:
    """What a window is measured against, for U users.

    known_items: which items of the catalogue count as known, [I]; known_labels: which labels, [L]
    cuts: log of 1 + spend of a window that parts the tiers, [T - 1]
    """

    catalogue: KnownItems
    num_users: int
    known_items: BoolArray
    known_labels: BoolArray
    cuts: FloatArray

    def measure(self, rows: EncodedEvents, start: float, end: float) -> WindowMeasurement:
        """Measure the rows of one window."""
        own = rows.where(rows.user >= 0)
        num_users, num_labels = self.num_users, len(self.catalogue.labels)
        strange = rows.who[rows.user < 0]
        vector, vectored = _mean_vector(own, self.catalogue.vectors, num_users)
        return WindowMeasurement(
            start,
            end,
            counts=_grouped(own, self.catalogue, num_users),
            events=np.bincount(own.user, minlength=num_users).astype(np.int32),
            days=_active_days(own, num_users),
            new_items=np.bincount(own.user[~self._knows(own)], minlength=num_users).astype(np.int32),
            unseen=np.bincount(own.user[~self._has_met(own)], minlength=num_users).astype(np.int32),
            labels=count_labels(own, num_users, num_labels),
            label_days=count_labels(once_a_day(own, num_labels), num_users, num_labels),
            vector=vector,
            vectored=vectored,
            tier=tiers_by_spend(spend(own, num_users), self.cuts),
            new_users=len(np.unique(strange)),
            new_user_events=len(strange),
        )

    def _knows(self, rows: EncodedEvents) -> BoolArray:
        known: BoolArray = (rows.item >= 0) & self.known_items[rows.item]
        return known

    def _has_met(self, rows: EncodedEvents) -> BoolArray:
        met: BoolArray = (rows.label != UNSEEN) & ((rows.label < 0) | self.known_labels[rows.label])
        return met


def spend(rows: EncodedEvents, num_users: int) -> FloatArray:
    """log(1 + money) of each user, [U]."""
    money: FloatArray = np.log1p(np.bincount(rows.user, rows.money, minlength=num_users))
    return money


def tiers_by_spend(money: FloatArray, cuts: FloatArray) -> IntArray:
    """Index into TIER_NAMES, -1 without spend, [U]."""
    tier = (money[:, None] > cuts).sum(axis=1)
    return np.where(money > 0, tier, -1).astype(np.int8)


def cuts_like(money: FloatArray, tier: IntArray, num_tiers: int) -> FloatArray:
    """Cuts [T - 1] through the active users' spend [U] above which as large a share lies as in the higher tiers."""
    active = money > 0
    if not active.any():
        return np.zeros(num_tiers - 1)
    below: Sequence[float] = [float((tier[active] < one).mean()) for one in range(1, num_tiers)]
    cuts: FloatArray = np.quantile(money[active], below)
    return cuts


def _grouped(rows: EncodedEvents, catalogue: KnownItems, num_users: int) -> IntArray:
    keep, size = rows.label >= 0, len(catalogue.names)
    cell = rows.user[keep].astype(np.int64) * size + catalogue.group[rows.label[keep]]
    return np.bincount(cell, minlength=num_users * size).reshape(num_users, size).astype(np.int32)


def _active_days(rows: EncodedEvents, num_users: int) -> IntArray:
    if not len(rows.user):
        return np.zeros(num_users, np.int32)
    first = int(np.floor(rows.day.min()))
    span = int(np.floor(rows.day.max())) - first + 1
    pairs = np.unique(rows.user.astype(np.int64) * span + (np.floor(rows.day).astype(np.int64) - first))
    return np.bincount(pairs // span, minlength=num_users).astype(np.int32)


def _mean_vector(rows: EncodedEvents, vectors: FloatArray, num_users: int) -> tuple[FloatArray, IntArray]:
    known = rows.item >= 0
    user, item = rows.user[known], rows.item[known]
    count = np.bincount(user, minlength=num_users)
    total = np.stack(
        [np.bincount(user, column[item], minlength=num_users) for column in vectors.T.astype(float)], axis=1
    )
    return (total / np.maximum(count, 1)[:, None]).astype(np.float32), count.astype(np.int32)
