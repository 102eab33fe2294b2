"""Per-user category counts before the reference window, from which expected behaviour is derived."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from monitoring.drift.measurement.encoded_events import EncodedEvents
from tierrec_core.base.contracts import FloatArray, IntArray

_HALF_LIFE = 90.0  # days


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

        A favourite chosen from the past alone would regress to the mean in any later window; one chosen from all
        events treats both windows alike.
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
