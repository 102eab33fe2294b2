"""Sparse user-item matrices: weighting of histories, scaling by degree, and pruning to the largest entries."""

from typing import Annotated, Literal

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.candidate_scores import sum_by_candidate
from tierrec_core.settings import SearchRange

ValueWeighting = Annotated[
    Literal["binary", "log_count", "log_decayed"], SearchRange(choices=("binary", "log_count", "log_decayed"))
]


def weighted_history(history: Interactions, values: ValueWeighting, half_life: float = np.inf) -> sparse.csr_matrix:
    """User-item matrix [U, I] float32: 1 for a seen item, or log(1 + count), optionally with decayed counts.

    half_life: days after which an event counts half, for "log_decayed"
    """
    if values == "binary":
        return history.binary_matrix()
    matrix = history.matrix() if values == "log_count" else history.decayed_matrix(half_life)
    matrix.data = np.log1p(matrix.data)
    return matrix


def weights_at_candidates(
    history: Interactions, candidates: IntArray, values: ValueWeighting, half_life: float
) -> FloatArray:
    """Entries of `weighted_history` at the candidates, [U, C]."""
    weight = np.exp2(-history.age / half_life) if values == "log_decayed" else None
    sums = sum_by_candidate(history, candidates, weight)
    return (sums > 0).astype(np.float32) if values == "binary" else np.log1p(sums)


def degrees(matrix: sparse.csr_matrix) -> tuple[FloatArray, FloatArray]:
    """Sums of the rows [U] and of the columns [I] in double precision."""
    rows, columns = matrix.sum(axis=1, dtype=np.float64), matrix.sum(axis=0, dtype=np.float64)
    return np.asarray(rows).ravel(), np.asarray(columns).ravel()


def safe_power(degree: FloatArray, exponent: float) -> FloatArray:
    """degree ** exponent, float32, and 0 where the degree is 0, whatever the exponent."""
    positive = degree > 0
    return np.asarray(np.where(positive, np.where(positive, degree, 1.0) ** exponent, 0.0), np.float32)


def scale(
    matrix: sparse.csr_matrix, rows: FloatArray | None = None, columns: FloatArray | None = None
) -> sparse.csr_matrix:
    """A copy with rows multiplied by weights [U] and columns by weights [I], float32."""
    copy = matrix.astype(np.float32)
    if rows is not None:
        copy.data *= np.repeat(rows.astype(np.float32), np.diff(copy.indptr))
    if columns is not None:
        copy.data *= columns.astype(np.float32)[copy.indices]
    return copy


def keep_top_k_per_row(matrix: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """Only the k largest positive entries of each row, float32; ties go to the first columns."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    top = order[(np.arange(len(order)) - matrix.indptr[row] < k) & (matrix.data[order] > 0)]
    values = matrix.data[top].astype(np.float32)
    return sparse.coo_matrix((values, (row[top], matrix.indices[top])), matrix.shape).tocsr()
