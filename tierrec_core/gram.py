"""The inverse of a Gram matrix, which item-item autoencoders in closed form are made of."""

import numpy as np
from scipy import linalg, sparse

from tierrec_core.contracts import FloatArray, IntArray


def inverted(gram: FloatArray, ridge: float) -> FloatArray:
    """(gram + ridge)^-1 by Cholesky, in double precision."""
    gram = gram.astype(np.float64)
    gram[np.diag_indices_from(gram)] += ridge
    factor, _ = linalg.lapack.dpotrf(gram, lower=True, clean=True, overwrite_a=True)
    inverse, _ = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    lower: FloatArray = np.tril(inverse)
    return lower + np.tril(lower, -1).T


def projected_at(seen: sparse.csr_matrix, inverse: FloatArray, candidates: IntArray) -> FloatArray:
    """Entries of X P at the candidates, [U, C]; X is what users did, [U, I], and P its own transpose, [I, I]."""
    found = np.empty(candidates.shape, np.float32)
    for row, columns in enumerate(candidates):
        span = slice(seen.indptr[row], seen.indptr[row + 1])
        found[row] = inverse[np.ix_(columns, seen.indices[span])] @ seen.data[span]
    return found
