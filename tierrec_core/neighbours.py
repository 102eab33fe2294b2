"""The users most like a user: cosine of weighted histories, top k, for models that ask neighbours."""

import numpy as np
from scipy import sparse
from sklearn.preprocessing import normalize

from tierrec_core.contracts import FloatArray


def nearest(query: sparse.csr_matrix, corpus: sparse.csr_matrix, k: int) -> FloatArray:
    """Cosine of each query row [U, I] to its k nearest rows of the corpus [V, I], else 0: [U, V] float32.

    Rows that share nothing with the query are no neighbours, however few there are. Ties for the last place are
    all let in, so that the order of the corpus does not matter.
    """
    similarity: FloatArray = (normalize(query) @ normalize(corpus).T).toarray().astype(np.float32)
    if k < similarity.shape[1]:
        edge = np.partition(similarity, -k, axis=1)[:, -k, None]
        similarity[similarity < edge] = 0.0
    return similarity
