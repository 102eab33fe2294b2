"""TIFU-KNN: repeat purchases by decayed frequency, mixed with nearest neighbours (Hu et al., SIGIR 2020).

The paper groups baskets and decays within and across groups; here the decay is continuous in time with one half-life.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.candidate_scores import mask_padding, sparse_products, sum_by_candidate
from tierrec_core.linalg.cosine import neighbour_weights, normalized_transpose
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange


@dataclass(frozen=True)
class TifuKnn:
    """Decayed frequencies of the training users, to mix the user's with those of the nearest neighbours.

    frequency: decayed counts of the training users, [V, I]
    target: names of the events that are counted
    """

    frequency: sparse.csr_matrix
    target: tuple[str, ...]
    config: "TifuKnn.Config"

    class Config(Params):
        """own_share: weight of the user's own frequencies against the mean of the neighbours."""

        half_life: Annotated[PositiveFloat, SearchRange(7.0, 365.0, log=True)] = 90.0
        neighbours: Annotated[PositiveInt, SearchRange(30, 1000, log=True)] = 300
        own_share: Annotated[float, Field(ge=0, le=1), SearchRange()] = 0.7

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Compute the decayed counts of the training users."""
        return cls.of(training.history, training.target, config)

    @classmethod
    def of(cls, history: Interactions, target: tuple[str, ...], config: Config) -> Self:
        """Fit without the tiers and items of a `Training`, which it does not use."""
        return cls(history.filter_events(*target).decayed_matrix(config.half_life), target, config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Expected frequency of each item, [U, I]."""
        counts = history.filter_events(*self.target).decayed_matrix(self.config.half_life)
        weight, share = self._neighbours(counts), self.config.own_share
        peers = (self.frequency.T @ weight.T).T
        scores: FloatArray = (1.0 - share) * peers
        user = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        scores[user, counts.indices] += share * counts.data
        return scores.astype(np.float32)

    def encode_users(self, history: Interactions) -> FloatArray:
        """Weight of each training user as a neighbour, [U, V]; rows sum to 1, or to 0 without neighbours."""
        return self._neighbours(history.filter_events(*self.target).decayed_matrix(self.config.half_life))

    def score_encoded(self, history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Expected frequency of each candidate, [U, C]."""
        targets, share = history.filter_events(*self.target), self.config.own_share
        counts = sum_by_candidate(targets, candidates, np.exp2(-targets.age / self.config.half_life))
        peers = sparse_products(user_states, self._frequency_by_item, candidates)
        return mask_padding(share * counts + (1.0 - share) * peers, candidates)

    def _neighbours(self, counts: sparse.csr_matrix) -> FloatArray:
        return neighbour_weights(counts, self._corpus, self.config.neighbours)

    @cached_property
    def _corpus(self) -> sparse.csr_matrix:
        return normalized_transpose(self.frequency)

    @cached_property
    def _frequency_by_item(self) -> sparse.csr_matrix:
        return self.frequency.T.tocsr()
