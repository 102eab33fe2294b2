"""Log-likelihood ratio, per user and window, that the user moved away from their favourite category.

The alternative is a move of half of the favourite's events; the test is close to the most powerful one when all
movers choose different categories, which leaves all shares unchanged. Expected behaviour in one window is estimated
from the user's baseline and the other window (cross-fitting, Chernozhukov et al., 2018), so that swapping
the windows only changes the sign of the difference.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from monitoring.drift.measurement.window_measurement import events_in_label
from tierrec_core.base.contracts import FloatArray, IntArray

_MOVED_SHARE = 0.5  # of the favourite's events, under the alternative
_MAX_LOG_RATIO = 30.0  # nats per user, so that no single user dominates the sum


@dataclass(frozen=True)
class WindowLikelihood:
    """One window, and its expected events estimated from all other events of its users.

    window: events, or days with any, by category, [U, L]
    known: the same from the baseline and the other window, [U, L]
    favourite: label of each user, -1 for one without a baseline, [U]
    prior: pseudo-events that shrink a user's expectation towards that of all users
    movers: share of users who move under the alternative
    """

    window: sparse.csr_matrix
    known: sparse.csr_matrix
    favourite: IntArray
    prior: float
    movers: float

    def moves(self, labels: IntArray) -> FloatArray:
        """Log ratio of a move to any other of these M labels, nats, [U]; 0 without a baseline.

        Destinations are weighted by the inverse of their expected events.
        """
        pseudo_events = self.prior * self._share[labels]
        used = self.window[:, labels].tocoo()
        user, column = used.row, used.col
        rarity = 1.0 / self._expected(user, labels[column])
        gain = np.expm1(np.minimum(np.log1p(self._lost[user] * rarity) * used.data, _MAX_LOG_RATIO))
        elsewhere = labels[column] != self.favourite[user]
        gained = np.bincount(user, gain * rarity * elsewhere, minlength=len(self.favourite))
        known = self.known[:, labels].tocoo()
        change = 1.0 / (known.data + pseudo_events[known.col]) - 1.0 / pseudo_events[known.col]
        rarities = (1.0 / pseudo_events).sum() + np.bincount(known.row, change, minlength=len(self.favourite))
        return self._mixture_log_ratio((1.0 + gained / rarities) * np.exp(self._log_loss))

    def arrivals(self, labels: IntArray) -> FloatArray:
        """Log ratio of a move to each of these M labels, nats, [U, M]; 0 without a baseline, and for the favourite.

        Unlike a share, it compares a category's gain with the loss in the arriving users' favourites.
        """
        expected = self.known[:, labels].toarray() + self.prior * self._share[labels]
        gain = np.log1p(self._lost[:, None] / expected) * self.window[:, labels].toarray()
        log_ratio = self._mixture_log_ratio(np.exp(np.minimum(gain + self._log_loss[:, None], _MAX_LOG_RATIO)))
        return np.where(self.favourite[:, None] != labels, log_ratio, 0.0)

    def _mixture_log_ratio(self, ratio: FloatArray) -> FloatArray:
        """Log ratio where only a share `movers` of the users moves, [U] or [U, M]."""
        log_ratio = np.log1p(self.movers * (ratio - 1.0))
        has_baseline = (self.favourite >= 0).reshape(-1, *(1 for _ in log_ratio.shape[1:]))
        return np.where(has_baseline, log_ratio, 0.0)

    @cached_property
    def _share(self) -> FloatArray:
        """Share of all users' events by label, [L]."""
        total = np.asarray(self.known.sum(axis=0)).ravel() + 1.0
        share: FloatArray = total / total.sum()
        return share

    def _expected(self, user: IntArray, label: IntArray) -> FloatArray:
        """The user's events of a label, shrunk towards all users' share; up to a factor per user, [K]."""
        known = np.asarray(self.known[user, label]).ravel() if len(user) else np.empty(0)
        return known + self.prior * self._share[label]

    @cached_property
    def _lost(self) -> FloatArray:
        """Half of the favourite's expected events, in the unit of `_expected`, [U]."""
        all_users = np.arange(len(self.favourite))
        return _MOVED_SHARE * self._expected(all_users, np.maximum(self.favourite, 0))

    @cached_property
    def _log_loss(self) -> FloatArray:
        """Log ratio of the user's events in the favourite once half of it moved away, [U]."""
        loss: FloatArray = events_in_label(self.window, self.favourite) * np.log1p(-_MOVED_SHARE)
        return loss
