"""The inverse of a regularised Gram matrix, which item-item autoencoders in closed form are made of.

P = (Z'Z + ridge)^-1 of Z [V, I] is items by items. With fewer users than items K = (ZZ' + ridge)^-1 is inverted
instead, from which P = (I - Z'KZ) / ridge (Woodbury 1950) never has to be made. Where both sides are too many, the
R greatest singular values of Z stand for it (randomised, Halko, Martinsson & Tropp 2011): P = (I - D diag(g) D') /
ridge with g = s^2 / (s^2 + ridge), which is exact where R reaches the rank of Z, and takes items times R to keep.
"""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import linalg, sparse
from sklearn.utils.extmath import randomized_svd

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.linalg.candidate_scores import factor_products, sparse_products

_POWER_ITERATIONS = 7
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegularizedGramInverse:
    """P in the form that the shape of Z allows.

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
        """Invert the smaller side of Z unless it has more than max_side entries; says in the log which form it took.

        Time grows with the cube of that side and memory with its square; low rank takes items times rank.
        """
        num_rows, num_items = rows.shape
        if min(rows.shape) > max_side:
            _say(rows, f"low rank, {rank} directions")
            _, values, directions = randomized_svd(
                rows, min(rank, *rows.shape), n_iter=_POWER_ITERATIONS, random_state=seed
            )
            gains = values**2 / (values**2 + ridge)
            diagonal = (1.0 - directions.T**2 @ gains) / ridge
            return cls(_single(gains), _single(diagonal), None, _single(directions.T), ridge)
        if num_items <= num_rows:
            _say(rows, "primal, the items' side inverted")
            inverse = _single(inverted((rows.T @ rows).toarray(), ridge))
            return cls(inverse, inverse.diagonal().copy(), None, None, ridge)
        _say(rows, "dual, the users' side inverted")
        inverse = _single(inverted((rows @ rows.T).toarray(), ridge))
        projected = np.asarray(rows.multiply(inverse @ rows).sum(axis=0)).ravel()
        return cls(inverse, _single((1.0 - projected) / ridge), rows, None, ridge)

    def encode(self, seen: sparse.csr_matrix) -> FloatArray:
        """What `at` needs of histories [U, I] beside themselves: [U, V] in the dual form, [U, R] or [U, 0]."""
        if self.rows is not None:
            likeness: FloatArray = (seen @ self._by_item).toarray() @ self.core
            return likeness
        if self.directions is not None:
            moved: FloatArray = (seen @ self.directions) * self.core
            return moved
        return np.zeros((seen.shape[0], 0), np.float32)

    def times(self, seen: sparse.csr_matrix) -> FloatArray:
        """X P for histories X [U, I], [U, I]."""
        if self.rows is None and self.directions is None:
            product: FloatArray = seen @ self.core
            return product
        state = self.encode(seen)
        explained = state @ self.directions.T if self.directions is not None else (self._by_item @ state.T).T
        result: FloatArray = (seen.toarray() - explained) / self.ridge
        return result

    def at(
        self, seen: sparse.csr_matrix, own: FloatArray, state: FloatArray, candidates: IntArray
    ) -> FloatArray:
        """X P at the candidates [U, C], given X at them, `own`, and its state, [U, C]."""
        if self.directions is not None:
            explained = factor_products(state, self.directions, candidates)
        elif self.rows is not None:
            explained = sparse_products(state, self._by_item, candidates)
        else:
            return _dense_at(seen, self.core, candidates)
        result: FloatArray = (own - explained) / self.ridge
        return result

    @cached_property
    def _by_item(self) -> sparse.csr_matrix:
        """Z seen from the items, [I, V]; [I, 0] in the other forms."""
        nobody = sparse.csr_matrix((len(self.diagonal), 0), dtype=np.float32)
        return nobody if self.rows is None else self.rows.T.tocsr()


def inverted(gram: FloatArray, ridge: float) -> FloatArray:
    """(gram + ridge)^-1 by Cholesky, in double precision."""
    gram = gram.astype(np.float64)
    gram[np.diag_indices_from(gram)] += ridge
    factor, _ = linalg.lapack.dpotrf(gram, lower=True, clean=True, overwrite_a=True)
    inverse, _ = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    lower: FloatArray = np.tril(inverse)
    return lower + np.tril(lower, -1).T


def _dense_at(seen: sparse.csr_matrix, inverse: FloatArray, candidates: IntArray) -> FloatArray:
    found = np.empty(candidates.shape, np.float32)
    for row, columns in enumerate(candidates):
        span = slice(seen.indptr[row], seen.indptr[row + 1])
        found[row] = inverse[np.ix_(columns, seen.indices[span])] @ seen.data[span]
    return found


def _single(array: FloatArray) -> FloatArray:
    return array.astype(np.float32)


def _say(rows: sparse.csr_matrix, form: str) -> None:
    log.info("autoencoder of %d users and %d items: %s", *rows.shape, form)
