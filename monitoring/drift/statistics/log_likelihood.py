"""How strongly one of two windows says that a user moved on from their favourite category.

Log likelihood ratios of a move of half of the favourite's events, near to the most powerful test where every mover goes
somewhere else, which leaves all shares as they were. What is expected of a user in one window is learned from what was
done before both and in the other one (cross-fitting, Chernozhukov et al., 2018): the nearest habits are the best, and
windows that change places change the sign of the difference and nothing else.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from monitoring.drift.measurement.user_baselines import events_at
from tierrec_core.base.contracts import FloatArray, IntArray

_MOVED_SHARE = 0.5  # of the favourite's events, in the move that is looked for
_MOST = 30.0  # nats a user; beyond it one user would decide for all


@dataclass(frozen=True)
class WindowLikelihood:
    """One window beside all else that is known of its users.

    window: events, or days with any, by category, [U, L]
    known: the same from the habits and the other window, [U, L]
    favourite: label of each user, -1 for one without habits, [U]
    prior: how many events of everybody's an expectation is drawn to
    movers: share of all users in the move that is looked for; it only sets how soon evidence counts
    """

    window: sparse.csr_matrix
    known: sparse.csr_matrix
    favourite: IntArray
    prior: float
    movers: float

    def moves(self, labels: IntArray) -> FloatArray:
        """That the user moved to some other of these M labels, nats, [U]; 0 without habits.

        The less a label is expected of a user, the likelier it is as the goal.
        """
        drawn = self.prior * self._share[labels]
        used = self.window[:, labels].tocoo()
        user, place = used.row, used.col
        rarity = 1.0 / self._expected(user, labels[place])
        gain = np.expm1(np.minimum(np.log1p(self._lost[user] * rarity) * used.data, _MOST))
        elsewhere = labels[place] != self.favourite[user]
        gained = np.bincount(user, gain * rarity * elsewhere, minlength=len(self.favourite))
        own = self.known[:, labels].tocoo()
        change = 1.0 / (own.data + drawn[own.col]) - 1.0 / drawn[own.col]
        rarities = (1.0 / drawn).sum() + np.bincount(own.row, change, minlength=len(self.favourite))
        return self._posterior((1.0 + gained / rarities) * np.exp(self._log_loss))

    def arrivals(self, labels: IntArray) -> FloatArray:
        """That the user moved to each of these M labels, nats, [U, M]; 0 without habits, and for the favourite.

        It tells what a category won from what those who came to it gave up, which a share alone does not.
        """
        expected = self.known[:, labels].toarray() + self.prior * self._share[labels]
        gain = np.log1p(self._lost[:, None] / expected) * self.window[:, labels].toarray()
        found = self._posterior(np.exp(np.minimum(gain + self._log_loss[:, None], _MOST)))
        return np.where(self.favourite[:, None] != labels, found, 0.0)

    def _posterior(self, ratio: FloatArray) -> FloatArray:
        """Log likelihood ratio of a population of whom some moved, [U] or [U, M]."""
        told = np.log1p(self.movers * (ratio - 1.0))
        has_habits = (self.favourite >= 0).reshape(-1, *(1 for _ in told.shape[1:]))
        return np.where(has_habits, told, 0.0)

    @cached_property
    def _share(self) -> FloatArray:
        """Share of everybody's events by label, [L]."""
        total = np.asarray(self.known.sum(axis=0)).ravel() + 1.0
        share: FloatArray = total / total.sum()
        return share

    def _expected(self, user: IntArray, label: IntArray) -> FloatArray:
        """The user's own events of a label, drawn to everybody's, [K]; a share, but for a factor of the user's."""
        own = np.asarray(self.known[user, label]).ravel() if len(user) else np.empty(0)
        expected: FloatArray = own + self.prior * self._share[label]
        return expected

    @cached_property
    def _lost(self) -> FloatArray:
        """What half of the favourite is, in the unit of what is expected, [U]."""
        everyone = np.arange(len(self.favourite))
        lost: FloatArray = _MOVED_SHARE * self._expected(everyone, np.maximum(self.favourite, 0))
        return lost

    @cached_property
    def _log_loss(self) -> FloatArray:
        """Log of how much less likely the user's events in the favourite are, once half of it moved away, [U]."""
        loss: FloatArray = events_at(self.window, self.favourite) * np.log1p(-_MOVED_SHARE)
        return loss
