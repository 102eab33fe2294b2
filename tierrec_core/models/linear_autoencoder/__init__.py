"""Linear item-item autoencoder on a degree-normalized graph, in closed form.

Users and items are divided by powers of their degrees before the fit, and scores are multiplied by a power of the
item's degree after it (Park et al., SIGIR 2025). An item's self-weight is also regularized by its frequency, as if
entries were dropped at random (EDLAE, Steck, NeurIPS 2020). With exponents and dropout of 0 it is EASE (Steck, WWW
2019). `RegularizedGramInverse` describes the forms of the inverse, including the one for large catalogues.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.candidate_scores import mask_padding
from tierrec_core.linalg.gram import RegularizedGramInverse
from tierrec_core.linalg.sparse import (
    ValueWeighting,
    degrees,
    safe_power,
    scale,
    weighted_history,
    weights_at_candidates,
)
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange

Exponent = Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True)
class LinearAutoencoder:
    """Scores X D^-t B D^t, where B = I - P diag(1 / diag P), P = (N'N + L)^-1 and L is diagonal; t is the tilt.

    precision: (W'W + 1)^-1 with W = N L^-1/2, so that P = L^-1/2 (W'W + 1)^-1 L^-1/2
    ridge_scale: L^-1/2, [I]
    degree: D, sum of each item's entries, [I]
    """

    precision: RegularizedGramInverse
    ridge_scale: FloatArray
    degree: FloatArray
    config: "LinearAutoencoder.Config"

    class Config(Params):
        """l2 shrinks the weights, in units of the mean diagonal of N'N; dropout shrinks by the item's diagonal.

        user_exponent, item_exponent: powers of the degrees that N is divided by
        tilt: preference for frequent items; histories are divided and scores multiplied by this power of the degree
        max_side, rank: with more than max_side users and items only `rank` directions of N are kept
        """

        values: ValueWeighting = "log_count"
        half_life: Annotated[PositiveFloat, SearchRange(7.0, 365.0, log=True)] = 60.0
        l2: Annotated[PositiveFloat, SearchRange(0.1, 100.0, log=True)] = 2.0
        dropout: Annotated[NonNegativeFloat, SearchRange()] = 0.5
        user_exponent: Annotated[Exponent, SearchRange(0.0, 0.6)] = 0.3
        item_exponent: Annotated[Exponent, SearchRange(0.0, 0.5)] = 0.15
        tilt: Annotated[Exponent, SearchRange(-0.3, 0.5)] = 0.0
        max_side: PositiveInt = 20_000
        rank: PositiveInt = 256

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Solve for the weights. Time grows with the cube of the smaller side, memory with its square."""
        weights = weighted_history(training.history, config.values, config.half_life)
        users, items = degrees(weights)
        graph = scale(weights, safe_power(users, -config.user_exponent), safe_power(items, -config.item_exponent))
        diagonal = degrees(graph.multiply(graph).tocsr())[1]
        ridge_scale = 1.0 / np.sqrt(config.l2 * max(diagonal.mean(), 1e-12) + config.dropout * diagonal)
        precision = RegularizedGramInverse.fit(
            scale(graph, columns=ridge_scale), 1.0, max_side=config.max_side, rank=config.rank, seed=training.seed
        )
        return cls(precision, ridge_scale.astype(np.float32), items.astype(np.float32), config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Prediction of each item from the other items of the history, [U, I]."""
        seen = self._seen(history)
        projected = self.precision.multiply(self._ridge_scaled(seen)) * self.ridge_scale
        return np.asarray((seen.toarray() - projected / self._diagonal) * self._tilt, np.float32)

    def encode_users(self, history: Interactions) -> FloatArray:
        """Projection of the history: [U, V] in the dual, [U, R] in the low-rank, [U, 0] in the primal form."""
        return self.precision.encode(self._ridge_scaled(self._seen(history))).astype(np.float32)

    def score_encoded(self, history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Prediction of each candidate from the other items of the history, [U, C]."""
        entries, ridge_scale = self._entries(history, candidates), self.ridge_scale[candidates]
        seen = self._ridge_scaled(self._seen(history))
        product = self.precision.multiply_at_candidates(seen, entries * ridge_scale, user_states, candidates)
        scores = (entries - product * ridge_scale / self._diagonal[candidates]) * self._tilt[candidates]
        return mask_padding(scores, candidates)

    def _seen(self, history: Interactions) -> sparse.csr_matrix:
        weights = weighted_history(history, self.config.values, self.config.half_life)
        return scale(weights, columns=safe_power(self.degree, -self.config.tilt))

    def _ridge_scaled(self, seen: sparse.csr_matrix) -> sparse.csr_matrix:
        return scale(seen, columns=self.ridge_scale)

    def _entries(self, history: Interactions, candidates: IntArray) -> FloatArray:
        """Entries of the tilted history at the candidates, [U, C]."""
        weights = weights_at_candidates(history, candidates, self.config.values, self.config.half_life)
        return weights * safe_power(self.degree, -self.config.tilt)[candidates]

    @cached_property
    def _diagonal(self) -> FloatArray:
        """Diagonal of P, [I]."""
        return self.precision.diagonal * self.ridge_scale**2

    @cached_property
    def _tilt(self) -> FloatArray:
        return safe_power(self.degree, self.config.tilt)
