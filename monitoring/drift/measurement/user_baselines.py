"""What users did before the reference window: their favourite categories, and what is expected of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from monitoring.drift.measurement.encoded_events import EncodedEvents
from tierrec_core.base.contracts import FloatArray, IntArray

_HALF_LIFE = 90.0  # days, before the reference window


@dataclass(frozen=True)
class UserBaselines:
    """What each reference user did by category before a day; what was done 90 days earlier counts half.

    events: events, [U, L]; days: days with an event, [U, L]
    """

    events: sparse.csr_matrix
    days: sparse.csr_matrix

    @classmethod
    def of(cls, rows: EncodedEvents, start: float, num_users: int, num_labels: int) -> Self:
        """Learn from what lies before the reference window's `start`: then both windows are strange to it alike."""
        past = rows.where(rows.day < start)
        found = (
            count_labels(one, num_users, num_labels, np.exp2((one.day - start) / _HALF_LIFE))
            for one in (past, once_a_day(past, num_labels))
        )
        return cls(*found)

    @property
    def exist(self) -> bool:
        """Whether anybody did anything before."""
        return bool(self.events.nnz)

    def favourites(self, before: sparse.csr_matrix, after: sparse.csr_matrix) -> IntArray:
        """Label with most events in habits and both windows [U, L] together, -1 for a user without habits, [U].

        A favourite of the past alone is one in part because it was bought often then, and falls in any later window;
        one of everything falls only where the windows differ.
        """
        total = self.events + before + after
        favourite = np.asarray(total.argmax(axis=1)).ravel().astype(np.int32)
        favourite[np.diff(self.events.indptr) == 0] = -1
        return favourite


def events_at(window: sparse.csr_matrix, label: IntArray) -> FloatArray:
    """Events of the window [U, L] in one label of each user, 0 where it is -1, [U]."""
    found = np.asarray(window[np.arange(len(label)), np.maximum(label, 0)]).ravel().astype(float)
    return np.where(label >= 0, found, 0.0)


def count_labels(
    rows: EncodedEvents, num_users: int, num_labels: int, weight: FloatArray | None = None
) -> sparse.csr_matrix:
    """Events of reference users by label, or their weights [N], [U, L] float32; events without a label are left out."""
    keep = (rows.user >= 0) & (rows.label >= 0)
    data = np.ones(len(keep)) if weight is None else weight
    cells = data[keep].astype(np.float32), (rows.user[keep], rows.label[keep])
    return sparse.coo_matrix(cells, (num_users, num_labels)).tocsr()


def once_a_day(rows: EncodedEvents, num_labels: int) -> EncodedEvents:
    """One row for each day on which a reference user did anything in a category: things of one basket hang together."""
    known = np.flatnonzero((rows.user >= 0) & (rows.label >= 0))
    day = np.floor(rows.day[known]).astype(np.int64)
    first, span = int(day.min(initial=0)), int(np.ptp(day)) + 1 if len(day) else 1
    cell = (rows.user[known].astype(np.int64) * num_labels + rows.label[known]) * span + (day - first)
    return rows.where(known[np.sort(np.unique(cell, return_index=True)[1])])
