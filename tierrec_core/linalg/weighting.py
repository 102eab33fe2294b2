"""Histories as weighted matrices, and their scaling by how much a user does and how well an item is known."""

from typing import Annotated, Literal

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.candidate_scores import met_sums
from tierrec_core.settings import SearchRange

Values = Annotated[
    Literal["binary", "log_count", "log_decayed"], SearchRange(choices=("binary", "log_count", "log_decayed"))
]


def behaviour(history: Interactions, values: Values, half_life: float) -> sparse.csr_matrix:
    """What an entry says of a user and an item, [U, I]: met or not, or the log of a count that may fade with age."""
    if values == "binary":
        return history.binary()
    matrix = history.matrix() if values == "log_count" else history.decayed(half_life)
    matrix.data = np.log1p(matrix.data)
    return matrix


def entries(history: Interactions, candidates: IntArray, values: Values, half_life: float) -> FloatArray:
    """The same at the candidates, [U, C]."""
    weight = np.exp2(-history.age / half_life) if values == "log_decayed" else None
    sums = met_sums(history, candidates, weight)
    return (sums > 0).astype(np.float32) if values == "binary" else np.log1p(sums)


def degrees(matrix: sparse.csr_matrix) -> tuple[FloatArray, FloatArray]:
    """Sums of the rows [U] and of the columns [I] in double precision."""
    rows, columns = matrix.sum(axis=1, dtype=np.float64), matrix.sum(axis=0, dtype=np.float64)
    return np.asarray(rows).ravel(), np.asarray(columns).ravel()


def power(degree: FloatArray, exponent: float) -> FloatArray:
    """degree ** exponent in single precision, and 0 where the degree is 0, whatever the exponent."""
    known = degree > 0
    raised: FloatArray = np.where(known, np.where(known, degree, 1.0) ** exponent, 0.0)
    return raised.astype(np.float32)


def scaled(
    matrix: sparse.csr_matrix, rows: FloatArray | None = None, columns: FloatArray | None = None
) -> sparse.csr_matrix:
    """A copy with rows and columns multiplied by weights [U] and [I], float32."""
    copy = matrix.astype(np.float32)
    if rows is not None:
        copy.data *= np.repeat(rows.astype(np.float32), np.diff(copy.indptr))
    if columns is not None:
        copy.data *= columns.astype(np.float32)[copy.indices]
    return copy
