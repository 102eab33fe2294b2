"""Sparse rows cut to their largest entries, so that item-item weights fit into memory."""

import numpy as np
from scipy import sparse


def strongest(matrix: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """Only the k largest entries of each row that are above 0, float32; of equal ones the first columns."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    kept = order[(np.arange(len(order)) - matrix.indptr[row] < k) & (matrix.data[order] > 0)]
    values = matrix.data[kept].astype(np.float32)
    return sparse.coo_matrix((values, (row[kept], matrix.indices[kept])), matrix.shape).tocsr()
