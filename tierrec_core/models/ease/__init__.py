"""EASE: a linear item-item autoencoder with a closed-form fit (Steck, WWW 2019).

The weights are B = I - P diag(1 / diag P) with P = (X'X + l2)^-1. `RegularizedGramInverse` stores P in a smaller form
where one is exact, or a low-rank approximation for large catalogues.
"""

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import PositiveFloat, PositiveInt
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.candidate_scores import mask_padding
from tierrec_core.linalg.gram import RegularizedGramInverse
from tierrec_core.linalg.sparse import ValueWeighting, weighted_history, weights_at_candidates
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange


@dataclass(frozen=True)
class Ease:
    """Scores X B, where B has a zero diagonal."""

    precision: RegularizedGramInverse
    config: "Ease.Config"

    class Config(Params):
        """l2 shrinks the weights; raise it for sparse catalogues. values: entries of X.

        With more than max_side users and items only `rank` directions of X are kept, and the weights are approximate.
        """

        l2: Annotated[PositiveFloat, SearchRange(10.0, 1e4, log=True)] = 300.0
        values: ValueWeighting = "log_count"
        half_life: Annotated[PositiveFloat, SearchRange(7.0, 365.0, log=True)] = 60.0
        max_side: PositiveInt = 20_000
        rank: PositiveInt = 256

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Solve for the weights. Time grows with the cube of the smaller side, memory with its square."""
        weights = weighted_history(training.history, config.values, config.half_life)
        precision = RegularizedGramInverse.fit(
            weights, config.l2, max_side=config.max_side, rank=config.rank, seed=training.seed
        )
        return cls(precision, config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Prediction of each item from the other items of the history, [U, I]."""
        seen = self._seen(history)
        return np.asarray(seen.toarray() - self.precision.multiply(seen) / self.precision.diagonal, np.float32)

    def encode_users(self, history: Interactions) -> FloatArray:
        """Projection of the history: [U, V] in the dual, [U, R] in the low-rank, [U, 0] in the primal form."""
        return self.precision.encode(self._seen(history))

    def score_encoded(self, history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Prediction of each candidate from the other items of the history, [U, C]."""
        entries = weights_at_candidates(history, candidates, self.config.values, self.config.half_life)
        projected = self.precision.multiply_at_candidates(self._seen(history), entries, user_states, candidates)
        return mask_padding(entries - projected / self.precision.diagonal[candidates], candidates)

    def _seen(self, history: Interactions) -> sparse.csr_matrix:
        """X, weighted as configured, [U, I]."""
        return weighted_history(history, self.config.values, self.config.half_life)
