"""What users did before the reference window, and how strongly a window says that one of them moved on."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import sparse

from monitoring.drift.rows import Rows
from tierrec_core.contracts import FloatArray, IntArray

_HALF_LIFE = 90.0  # days, before the reference window
_PRIOR_EVENTS = 30.0
_MOVED_SHARE = 0.5  # of the favourite's events, in the move that is looked for
_MOVED_USERS = 0.6  # of all users, likewise; it only sets how soon evidence counts: what has the best power
_TEMPER_ANYWHERE = 0.3  # a move to anywhere is told by the few largest cells, where baskets weigh heaviest
_TEMPER_ONE = 1.0
_MOST = 30.0


@dataclass(frozen=True)
class Habits:
    """Events of each reference user by category, before a day; an event counts half after each 90 days.

    counts: [U, L]
    favourite: label with most of them, -1 for a user without any, [U]
    share: share of everybody's events by category, [L]
    """

    counts: sparse.csr_matrix
    favourite: IntArray
    share: FloatArray

    @classmethod
    def of(cls, rows: Rows, start: float, num_users: int, num_labels: int) -> Self:
        """Learn from what lies before the reference window's `start`: then both windows are strange to it alike."""
        past = rows.where(rows.day < start)
        weight = np.exp2((past.day - start) / _HALF_LIFE)
        counts = count_labels(past, num_users, num_labels, weight)
        favourite = np.asarray(counts.argmax(axis=1)).ravel().astype(np.int32)
        favourite[np.asarray(counts.sum(axis=1)).ravel() == 0] = -1
        share = np.asarray(counts.sum(axis=0)).ravel() + 1.0
        return cls(counts, favourite, share / share.sum())

    def favourite_events(self, window: sparse.csr_matrix) -> FloatArray:
        """Events of the window [U, L] in each user's favourite category, [U]."""
        row = np.arange(len(self.favourite))
        found: FloatArray = np.asarray(window[row, np.maximum(self.favourite, 0)]).ravel().astype(float)
        return np.where(self.favourite >= 0, found, 0.0)

    def moves(self, window: sparse.csr_matrix, labels: IntArray) -> FloatArray:
        """Log likelihood ratio, nats, that half of the user's favourite moved to some other of these M labels, [U].

        Near to the most powerful test where every mover goes somewhere else, which leaves all shares as they were. The
        less a label is expected of a user, the likelier it is as the goal. The ratio is tempered, since events of a
        basket hang together. A user without habits has 0.
        """
        expected = _PRIOR_EVENTS * self.share[labels]
        used = window[:, labels].tocoo()
        user, place = used.row, used.col
        rarity = 1.0 / self._expected(user, labels[place])
        evidence = np.log1p(self._lost[user] * rarity) * used.data
        gain = np.exp(np.minimum(_TEMPER_ANYWHERE * evidence, _MOST)) - 1.0
        elsewhere = labels[place] != self.favourite[user]
        gained = np.bincount(user, gain * rarity * elsewhere, minlength=len(self.favourite))
        own = self.counts[:, labels].tocoo()
        change = 1.0 / (own.data + expected[own.col]) - 1.0 / expected[own.col]
        rarities = (1.0 / expected).sum() + np.bincount(own.row, change, minlength=len(self.favourite))
        mean = 1.0 + gained / rarities
        left = np.exp(_TEMPER_ANYWHERE * self._log_loss(window))
        return np.where(self.favourite >= 0, np.log1p(_MOVED_USERS * (mean * left - 1.0)), 0.0)

    def arrivals(self, window: sparse.csr_matrix, labels: IntArray) -> FloatArray:
        """Log likelihood ratio, nats, that half of the user's favourite moved to each of these M labels, [U, M].

        It tells what a category won from what those who came to it gave up, which a share alone does not.
        """
        expected = self.counts[:, labels].toarray() + _PRIOR_EVENTS * self.share[labels]
        gain = np.log1p(self._lost[:, None] / expected) * window[:, labels].toarray()
        evidence = np.minimum(_TEMPER_ONE * (gain + self._log_loss(window)[:, None]), _MOST)
        may_come = (self.favourite[:, None] >= 0) & (self.favourite[:, None] != labels)
        return np.where(may_come, np.log1p(_MOVED_USERS * (np.exp(evidence) - 1.0)), 0.0)

    def _expected(self, user: IntArray, label: IntArray) -> FloatArray:
        """The user's own events of a label, drawn to everybody's, [K]; a share, but for a factor of the user's."""
        own = np.asarray(self.counts[user, label]).ravel() if len(user) else np.empty(0)
        expected: FloatArray = own + _PRIOR_EVENTS * self.share[label]
        return expected

    @cached_property
    def _lost(self) -> FloatArray:
        """What half of the favourite is, in the unit of what is expected, [U]."""
        everyone = np.arange(len(self.favourite))
        lost: FloatArray = _MOVED_SHARE * self._expected(everyone, np.maximum(self.favourite, 0))
        return lost

    def _log_loss(self, window: sparse.csr_matrix) -> FloatArray:
        """Log of how much less likely the user's events in the favourite are, once half of it moved away, [U]."""
        loss: FloatArray = self.favourite_events(window) * np.log1p(-_MOVED_SHARE)
        return loss


def count_labels(
    rows: Rows, num_users: int, num_labels: int, weight: FloatArray | None = None
) -> sparse.csr_matrix:
    """Events of reference users by label, or their weights [N], [U, L] float32; events without a label are left out."""
    keep = (rows.user >= 0) & (rows.label >= 0)
    data = np.ones(len(keep)) if weight is None else weight
    cells = data[keep].astype(np.float32), (rows.user[keep], rows.label[keep])
    return sparse.coo_matrix(cells, (num_users, num_labels)).tocsr()
