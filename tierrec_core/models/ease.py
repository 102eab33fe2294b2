"""EASE: a linear item-item autoencoder with a closed-form fit (Steck, WWW 2019).

With fewer users than items the dual form inverts a matrix of users instead: P = (I - X' K X) / l2 with
K = (X X' + l2)^-1, so that neither P nor the weights, which are items by items, ever exist.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from pydantic import PositiveFloat
from scipy import sparse

from tierrec_core import weighting
from tierrec_core.contracts import FloatArray, IntArray
from tierrec_core.gram import inverted, projected_at
from tierrec_core.interactions import Interactions
from tierrec_core.products import or_never, sparse_products
from tierrec_core.protocol import Training
from tierrec_core.settings import Params, Span
from tierrec_core.weighting import Values


@dataclass(frozen=True)
class Ease:
    """Scores X B, where B = I - P diag(1 / diag P) has a zero diagonal.

    inverse: P itself [I, I] where there are more users than items, else K [V, V]
    diagonal: of P, [I]
    behaviour: X, what the dual form needs of the training users, [V, I]; None in the primal form
    """

    inverse: FloatArray
    diagonal: FloatArray
    behaviour: sparse.csr_matrix | None
    config: "Ease.Config"

    class Config(Params):
        """l2 pulls weights to zero; raise it for sparse catalogues. values says what an entry of X is."""

        l2: Annotated[PositiveFloat, Span(10.0, 1e4, log=True)] = 300.0
        values: Values = "log_count"
        half_life: Annotated[PositiveFloat, Span(7.0, 365.0, log=True)] = 60.0

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Solve for the weights. Time grows with the cube of the smaller side, memory with its square."""
        behaviour = weighting.behaviour(training.history, config.values, config.half_life)
        num_users, num_items = behaviour.shape
        if num_items <= num_users:
            inverse = inverted((behaviour.T @ behaviour).toarray(), config.l2).astype(np.float32)
            return cls(inverse, inverse.diagonal().copy(), None, config)
        inverse = inverted((behaviour @ behaviour.T).toarray(), config.l2).astype(np.float32)
        projected = behaviour.multiply(inverse @ behaviour).sum(axis=0)
        diagonal = (1.0 - np.asarray(projected).ravel()) / config.l2
        return cls(inverse, diagonal.astype(np.float32), behaviour, config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """What the rest of the history says of each item, [U, I]."""
        seen = self._seen(history)
        if self.behaviour is None:
            projected = seen @ self.inverse
        else:
            hidden = self._hidden(seen)
            projected = (seen.toarray() - (self.behaviour.T @ hidden.T).T) / self.config.l2
        scores: FloatArray = (seen.toarray() - projected / self.diagonal).astype(np.float32)
        return scores

    def encode(self, history: Interactions) -> FloatArray:
        """In the dual form the history's likeness to the training users times K, [U, V]; else nothing, [U, 0]."""
        if self.behaviour is None:
            return np.zeros((history.num_users, 0), np.float32)
        return self._hidden(self._seen(history))

    def score_encoded(self, history: Interactions, state: FloatArray, candidates: IntArray) -> FloatArray:
        """What the rest of the history says of each candidate, [U, C]."""
        own = weighting.entries(history, candidates, self.config.values, self.config.half_life)
        if self._by_item is None:
            projected = projected_at(self._seen(history), self.inverse, candidates)
        else:
            projected = (own - sparse_products(state, self._by_item, candidates)) / self.config.l2
        return or_never(own - projected / self.diagonal[candidates], candidates)

    def _seen(self, history: Interactions) -> sparse.csr_matrix:
        """X as the config wants it, [U, I]."""
        return weighting.behaviour(history, self.config.values, self.config.half_life)

    def _hidden(self, seen: sparse.csr_matrix) -> FloatArray:
        hidden: FloatArray = (seen @ self._by_item).toarray() @ self.inverse
        return hidden

    @cached_property
    def _by_item(self) -> sparse.csr_matrix | None:
        """The training users' behaviour by item, [I, V]."""
        return None if self.behaviour is None else self.behaviour.T.tocsr()
