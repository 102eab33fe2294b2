"""What users did before the reference window, and how strongly a window says that one of them moved on."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from monitoring.drift.rows import Rows
from tierrec_core.contracts import FloatArray, IntArray

_PRIOR_EVENTS = 50.0
_MOVED_SHARE = 0.5  # of the favourite's events, in the move that is looked for
_MOVED_USERS = 0.1
_TEMPER = 0.5
_MOST = 30.0


@dataclass(frozen=True)
class Habits:
    """Events of each reference user by category, before a day.

    counts: [U, L]
    favourite: label with most events, -1 for a user without any, [U]
    share: share of everybody's events by category, [L]
    """

    counts: sparse.csr_matrix
    favourite: IntArray
    share: FloatArray

    @classmethod
    def of(cls, rows: Rows, num_users: int, num_labels: int) -> Self:
        """Learn from the rows before the reference window: then both windows are strange to it alike."""
        counts = count_labels(rows, num_users, num_labels)
        favourite = np.asarray(counts.argmax(axis=1)).ravel().astype(np.int32)
        favourite[np.asarray(counts.sum(axis=1)).ravel() == 0] = -1
        share = np.asarray(counts.sum(axis=0)).ravel() + 1.0
        return cls(counts, favourite, share / share.sum())

    def favourite_events(self, window: sparse.csr_matrix) -> FloatArray:
        """Events of the window [U, L] in each user's favourite category, [U]."""
        row = np.arange(len(self.favourite))
        found: FloatArray = np.asarray(window[row, np.maximum(self.favourite, 0)]).ravel().astype(float)
        return np.where(self.favourite >= 0, found, 0.0)

    def moves(self, window: sparse.csr_matrix) -> FloatArray:
        """Log likelihood ratio, nats, that half of the user's favourite moved to some other category, [U].

        Near to the most powerful test where every mover goes somewhere else, which leaves all shares as they were.
        A user's own categories are drawn to everybody's. The ratio is tempered, since baskets are not independent
        events. A user without habits has 0.
        """
        used = window.tocoo()
        user, label, count = used.row, used.col, used.data.astype(float)
        total = np.asarray(self.counts.sum(axis=1)).ravel()
        chance = self._chance(user, label, total)
        everyone = np.arange(len(self.favourite))
        lost = self._chance(everyone, np.maximum(self.favourite, 0), total) * _MOVED_SHARE
        gain = np.exp(np.minimum(_TEMPER * count * np.log1p(lost[user] / chance), _MOST)) - 1.0
        elsewhere = label != self.favourite[user]
        gained = np.bincount(user, gain * elsewhere, minlength=len(everyone))
        mean = 1.0 + gained / max(self.counts.shape[1] - 1, 1)
        stayed = np.exp(_TEMPER * self.favourite_events(window) * np.log1p(-_MOVED_SHARE))
        ratio: FloatArray = np.log1p(_MOVED_USERS * (mean * stayed - 1.0))
        return np.where(self.favourite >= 0, ratio, 0.0)

    def _chance(self, user: IntArray, label: IntArray, total: FloatArray) -> FloatArray:
        """Expected share of each label in the user's events, drawn to everybody's, [K]."""
        own = np.asarray(self.counts[user, label]).ravel() if len(user) else np.empty(0)
        chance: FloatArray = (own + _PRIOR_EVENTS * self.share[label]) / (total[user] + _PRIOR_EVENTS)
        return chance


def count_labels(rows: Rows, num_users: int, num_labels: int) -> sparse.csr_matrix:
    """Events of reference users by label, [U, L] float32; unknown and unseen categories are left out."""
    keep = (rows.user >= 0) & (rows.label >= 0)
    ones = np.ones(int(keep.sum()), np.float32)
    return sparse.coo_matrix((ones, (rows.user[keep], rows.label[keep])), (num_users, num_labels)).tocsr()
