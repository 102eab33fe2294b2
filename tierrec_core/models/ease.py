"""EASE: a linear item-item autoencoder with a closed-form fit (Steck, WWW 2019).

With fewer users than items the dual form inverts a matrix of users instead: P = (I - X' K X) / l2 with
K = (X X' + l2)^-1, so that neither P nor the weights, which are items by items, ever exist.
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import PositiveFloat
from scipy import linalg, sparse

from tierrec_core.contracts import FloatArray
from tierrec_core.interactions import Interactions
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
            hidden = (seen @ self.behaviour.T).toarray() @ self.inverse
            projected = (seen.toarray() - (self.behaviour.T @ hidden.T).T) / self.config.l2
        scores: FloatArray = (seen.toarray() - projected / self.diagonal).astype(np.float32)
        return scores


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
