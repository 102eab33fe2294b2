"""EASE: a linear item-item autoencoder with a closed-form fit (Steck, WWW 2019).

With fewer users than items the dual form inverts a matrix of users instead: P = (I - X' K X) / l2 with
K = (X X' + l2)^-1, so that neither P nor the weights, which are items by items, ever exist.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np
from pydantic import PositiveFloat
from scipy import linalg, sparse

from tierrec_core.contracts import FloatArray, IntArray
from tierrec_core.interactions import Interactions
from tierrec_core.products import met_sums, or_never, sparse_products
from tierrec_core.protocol import Training
from tierrec_core.settings import Params


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

        l2: PositiveFloat = 300.0
        values: Literal["binary", "log_count", "log_decayed"] = "log_count"
        half_life: PositiveFloat = 60.0

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Solve for the weights. Time grows with the cube of the smaller side, memory with its square."""
        behaviour = _behaviour(training.history, config)
        num_users, num_items = behaviour.shape
        if num_items <= num_users:
            inverse = _invert((behaviour.T @ behaviour).toarray(), config.l2)
            return cls(inverse, inverse.diagonal().copy(), None, config)
        inverse = _invert((behaviour @ behaviour.T).toarray(), config.l2)
        projected = behaviour.multiply(inverse @ behaviour).sum(axis=0)
        diagonal = (1.0 - np.asarray(projected).ravel()) / config.l2
        return cls(inverse, diagonal.astype(np.float32), behaviour, config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """What the rest of the history says of each item, [U, I]."""
        seen = _behaviour(history, self.config)
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
        return self._hidden(_behaviour(history, self.config))

    def score_encoded(self, history: Interactions, state: FloatArray, candidates: IntArray) -> FloatArray:
        """What the rest of the history says of each candidate, [U, C]."""
        own = _entries(history, candidates, self.config)
        if self._by_item is None:
            projected = self._projected(_behaviour(history, self.config), candidates)
        else:
            projected = (own - sparse_products(state, self._by_item, candidates)) / self.config.l2
        return or_never(own - projected / self.diagonal[candidates], candidates)

    def _hidden(self, seen: sparse.csr_matrix) -> FloatArray:
        hidden: FloatArray = (seen @ self._by_item).toarray() @ self.inverse
        return hidden

    def _projected(self, seen: sparse.csr_matrix, candidates: IntArray) -> FloatArray:
        """Entries of X P at the candidates, [U, C]; P is its own transpose."""
        projected = np.empty(candidates.shape, np.float32)
        for row, columns in enumerate(candidates):
            span = slice(seen.indptr[row], seen.indptr[row + 1])
            projected[row] = self.inverse[np.ix_(columns, seen.indices[span])] @ seen.data[span]
        return projected

    @cached_property
    def _by_item(self) -> sparse.csr_matrix | None:
        """The training users' behaviour by item, [I, V]."""
        return None if self.behaviour is None else self.behaviour.T.tocsr()


def _entries(history: Interactions, candidates: IntArray, config: Ease.Config) -> FloatArray:
    """X as the config wants it, at the candidates, [U, C]."""
    if config.values == "binary":
        return (met_sums(history, candidates) > 0).astype(np.float32)
    decayed = config.values == "log_decayed"
    return np.log1p(
        met_sums(history, candidates, np.exp2(-history.age / config.half_life) if decayed else None)
    )


def _behaviour(history: Interactions, config: Ease.Config) -> sparse.csr_matrix:
    """X as the config wants it, [U, I]."""
    if config.values == "binary":
        return history.binary()
    matrix = history.matrix() if config.values == "log_count" else history.decayed(config.half_life)
    matrix.data = np.log1p(matrix.data)
    return matrix


def _invert(gram: FloatArray, l2: float) -> FloatArray:
    """(gram + l2)^-1 by Cholesky, in double precision, kept in single."""
    gram = gram.astype(np.float64)
    gram[np.diag_indices_from(gram)] += l2
    factor, _ = linalg.lapack.dpotrf(gram, lower=True, clean=True, overwrite_a=True)
    inverse, _ = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    lower: FloatArray = np.tril(inverse)
    return (lower + np.tril(lower, -1).T).astype(np.float32)
