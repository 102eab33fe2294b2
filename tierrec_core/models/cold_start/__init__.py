"""Matrix factorization whose users are folded in from a learned prior per tier.

Item factors come from alternating least squares (Hu et al., ICDM 2008). Plain fold-in shrinks a new user to zero; here
the prior is a Gaussian per tier, estimated from the training users' factors (hierarchical empirical Bayes, closed
form): without events the user is the tier's mean, and each event moves it as far as the tier's covariance allows.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from pydantic import PositiveFloat, PositiveInt
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.candidate_scores import factor_products, mask_padding
from tierrec_core.linalg.sparse import weighted_history
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange
from tierrec_core.tiers import Tiering


@dataclass(frozen=True)
class ColdStart:
    """Item factors and a Gaussian prior over user factors for each tier.

    item_factors: [I, F]; mean: [3, F]; precision: inverse covariance, [3, F, F]
    """

    item_factors: FloatArray
    mean: FloatArray
    precision: FloatArray
    tiering: Tiering
    config: "ColdStart.Config"

    class Config(Params):
        """prior_weight scales the learned precision; shrinkage: weight of the overall prior, in users."""

        factors: Annotated[PositiveInt, SearchRange(16, 128, log=True)] = 32
        iterations: PositiveInt = 4
        l2: Annotated[PositiveFloat, SearchRange(0.1, 100.0, log=True)] = 5.0
        confidence: Annotated[PositiveFloat, SearchRange(0.3, 30.0, log=True)] = 2.0
        prior_weight: Annotated[PositiveFloat, SearchRange(0.01, 10.0, log=True)] = 0.1
        shrinkage: PositiveFloat = 50.0

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Factorize, then estimate the mean and precision of each tier's user factors."""
        weight = config.confidence * weighted_history(training.history, "log_count")
        items: FloatArray = training.rng.normal(0.0, 0.1, (weight.shape[1], config.factors))
        flat_prior = np.zeros(config.factors), config.l2 * np.eye(config.factors)
        columns = weight.T.tocsr()
        for _ in range(config.iterations):
            users = _solve(weight, items, flat_prior)
            items = _solve(columns, users, flat_prior)
        users = _solve(weight, items, flat_prior)
        has_events = np.diff(weight.indptr) > 0
        mean, precision = _prior(
            users[has_events], training.tiering.tier[has_events], len(training.tiering.names), config
        )
        items, mean, precision = (array.astype(np.float32) for array in (items, mean, precision))
        return cls(items, mean, precision, training.tiering, config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Inner products of the posterior mean and the item factors, [U, I]."""
        return (self.encode_users(history) @ self._items.T).astype(np.float32)

    def encode_users(self, history: Interactions) -> FloatArray:
        """Posterior mean of the user's factors, [U, F] float64."""
        weight = self.config.confidence * weighted_history(history, "log_count")
        tier = self.tiering.assign(history)
        users = np.zeros((history.num_users, self._items.shape[1]))
        for code in np.unique(tier):
            rows = np.flatnonzero(tier == code)
            precision = self.config.prior_weight * self.precision[code].astype(np.float64)
            prior = self.mean[code].astype(np.float64), precision
            users[rows] = _solve(weight[rows], self._items, prior, gram=self._gram)
        return users

    def score_encoded(self, _history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Inner products of the posterior mean and the candidates' factors, [U, C]."""
        return mask_padding(factor_products(user_states, self.item_factors, candidates), candidates)

    @cached_property
    def _items(self) -> FloatArray:
        return self.item_factors.astype(np.float64)

    @cached_property
    def _gram(self) -> FloatArray:
        return self._items.T @ self._items


def _solve(
    weight: sparse.csr_matrix, other: FloatArray, prior: tuple[FloatArray, FloatArray], gram: FloatArray | None = None
) -> FloatArray:
    """Posterior means for the rows of `weight` [R, C] given the other side's factors [C, F], [R, F].

    prior: mean [F] and precision [F, F]; gram: other.T @ other if already computed, [F, F]
    """
    mean, precision = prior
    base, offset = (other.T @ other if gram is None else gram) + precision, precision @ mean
    solved = np.empty((weight.shape[0], other.shape[1]))
    for row in range(weight.shape[0]):
        span = slice(weight.indptr[row], weight.indptr[row + 1])
        seen, confidence = other[weight.indices[span]], weight.data[span].astype(np.float64)
        left = base + (seen * confidence[:, None]).T @ seen
        solved[row] = np.linalg.solve(left, seen.T @ (1.0 + confidence) + offset)
    return solved


def _prior(
    users: FloatArray, tier: IntArray, num_tiers: int, config: ColdStart.Config
) -> tuple[FloatArray, FloatArray]:
    """Mean [3, F] and precision [3, F, F] of each tier, shrunk towards those of all users."""
    overall, covariance = users.mean(axis=0), np.cov(users, rowvar=False) + 1e-6 * np.eye(users.shape[1])
    means, precisions = [], []
    for code in range(num_tiers):
        members = users[tier == code]
        share = len(members) / (len(members) + config.shrinkage)
        mean = share * members.mean(axis=0) + (1 - share) * overall if len(members) else overall
        tier_covariance = (members - mean).T @ (members - mean) / max(len(members), 1)
        means.append(mean)
        precisions.append(np.linalg.inv(share * tier_covariance + (1 - share) * covariance))
    return np.stack(means), np.stack(precisions)
