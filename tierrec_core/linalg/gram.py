"""Inverse of a regularised Gram matrix, for item-item autoencoders in closed form.

P = (Z'Z + ridge)^-1 of Z [V, I] has shape [I, I]. With fewer users than items, K = (ZZ' + ridge)^-1 is inverted
instead, and P = (I - Z'KZ) / ridge (Woodbury 1950) is never materialised. Where both sides are too large, the R
largest singular values of Z approximate it (randomised, Halko, Martinsson & Tropp 2011): P = (I - D diag(g) D') /
ridge with g = s^2 / (s^2 + ridge). This is exact where R reaches the rank of Z, and needs memory of items times R.
"""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import linalg, sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.linalg.candidate_scores import factor_products, sparse_products

_POWER_ITERATIONS = 7
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegularizedGramInverse:
    """P in primal, dual or low-rank form, depending on the shape of Z.

    core: P [I, I] in the primal form, K [V, V] in the dual, the gains g [R] in the low-rank form
    diagonal: of P, [I]
    rows: Z in the dual form, else None, [V, I]
    directions: D in the low-rank form, else None, [I, R]
    """

    core: FloatArray
    diagonal: FloatArray
    rows: sparse.csr_matrix | None
    directions: FloatArray | None
    ridge: float

    @classmethod
    def fit(cls, rows: sparse.csr_matrix, ridge: float, *, max_side: int, rank: int, seed: int) -> Self:
        """Invert the smaller side of Z, or approximate by low rank if that side is longer than max_side.

        Time grows with the cube of that side and memory with its square; low rank takes items times rank. The
        chosen form is logged.
        """
        num_rows, num_items = rows.shape
        if min(rows.shape) > max_side:
            from sklearn.utils.extmath import randomized_svd  # takes a second, which stages of small logs do not need

            log.info("autoencoder of %d users and %d items: low rank, %d directions", *rows.shape, rank)
            _, values, directions = randomized_svd(
                rows, min(rank, *rows.shape), n_iter=_POWER_ITERATIONS, random_state=seed
            )
            gains = values**2 / (values**2 + ridge)
            diagonal = (1.0 - directions.T**2 @ gains) / ridge
            return cls(_float32(gains), _float32(diagonal), None, _float32(directions.T), ridge)
        if num_items <= num_rows:
            log.info("autoencoder of %d users and %d items: primal, item side inverted", *rows.shape)
            inverse = _float32(invert_regularized((rows.T @ rows).toarray(), ridge))
            return cls(inverse, inverse.diagonal().copy(), None, None, ridge)
        log.info("autoencoder of %d users and %d items: dual, user side inverted", *rows.shape)
        inverse = _float32(invert_regularized((rows @ rows.T).toarray(), ridge))
        projected = np.asarray(rows.multiply(inverse @ rows).sum(axis=0)).ravel()
        return cls(inverse, _float32((1.0 - projected) / ridge), rows, None, ridge)

    def encode(self, seen: sparse.csr_matrix) -> FloatArray:
        """User state for `multiply_at_candidates` of histories [U, I]: dual [U, V], low rank [U, R], primal [U, 0]."""
        if self.rows is not None:
            return np.asarray((seen @ self._items_by_row).toarray() @ self.core)
        if self.directions is not None:
            return np.asarray((seen @ self.directions) * self.core)
        return np.zeros((seen.shape[0], 0), np.float32)

    def multiply(self, seen: sparse.csr_matrix) -> FloatArray:
        """X P for histories X [U, I], [U, I]."""
        if self.rows is None and self.directions is None:
            return np.asarray(seen @ self.core)
        state = self.encode(seen)
        explained = state @ self.directions.T if self.directions is not None else (self._items_by_row @ state.T).T
        return np.asarray((seen.toarray() - explained) / self.ridge)

    def multiply_at_candidates(
        self, seen: sparse.csr_matrix, entries: FloatArray, state: FloatArray, candidates: IntArray
    ) -> FloatArray:
        """X P at the candidates, [U, C], given the `entries` of X there, [U, C], and the encoded state."""
        if self.directions is not None:
            explained = factor_products(state, self.directions, candidates)
        elif self.rows is not None:
            explained = sparse_products(state, self._items_by_row, candidates)
        else:
            return _dense_products(seen, self.core, candidates)
        return (entries - explained) / self.ridge

    @cached_property
    def _items_by_row(self) -> sparse.csr_matrix:
        """Z transposed, [I, V]; [I, 0] in the other forms."""
        no_rows = sparse.csr_matrix((len(self.diagonal), 0), dtype=np.float32)
        return no_rows if self.rows is None else self.rows.T.tocsr()


def invert_regularized(gram: FloatArray, ridge: float) -> FloatArray:
    """(gram + ridge)^-1 by Cholesky, in double precision."""
    gram = gram.astype(np.float64)
    gram[np.diag_indices_from(gram)] += ridge
    factor, _ = linalg.lapack.dpotrf(gram, lower=True, clean=True, overwrite_a=True)
    inverse, _ = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    lower: FloatArray = np.tril(inverse)
    return lower + np.tril(lower, -1).T


def _dense_products(seen: sparse.csr_matrix, inverse: FloatArray, candidates: IntArray) -> FloatArray:
    products = np.empty(candidates.shape, np.float32)
    for row, columns in enumerate(candidates):
        span = slice(seen.indptr[row], seen.indptr[row + 1])
        products[row] = inverse[np.ix_(columns, seen.indices[span])] @ seen.data[span]
    return products


def _float32(array: FloatArray) -> FloatArray:
    return array.astype(np.float32)
