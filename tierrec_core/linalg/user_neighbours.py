"""The users most like a user: cosine of weighted histories, top k, for models that ask neighbours."""

import numpy as np
from scipy import sparse
from sklearn.preprocessing import normalize

from tierrec_core.base.contracts import FloatArray


def by_item(corpus: sparse.csr_matrix) -> sparse.csr_matrix:
    """The corpus [V, I] with every history at length 1, turned so that `nearest` finds an item's users, [I, V]."""
    return normalize(corpus).T.tocsr()


def nearest(query: sparse.csr_matrix, corpus: sparse.csr_matrix, k: int) -> FloatArray:
    """Cosine of each query row [U, I] to its k nearest users of the corpus `by_item` [I, V], else 0: [U, V] float32.

    Users who share nothing with the query are no neighbours, however few there are. Ties for the last place are
    all let in, so that the order of the corpus does not matter.
    """
    similarity: FloatArray = (normalize(query) @ corpus).toarray().astype(np.float32)
    if k < similarity.shape[1]:
        edge = np.partition(similarity, -k, axis=1)[:, -k, None]
        similarity[similarity < edge] = 0.0
    return similarity
