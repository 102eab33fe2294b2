"""Nearest neighbours by cosine similarity, of dense item vectors and of sparse user histories."""

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.linalg.top_k import top_k

_BATCH = 256


def normalize_rows(vectors: FloatArray) -> FloatArray:
    """The rows scaled to length 1, [N, F] float32; a row of zeros stays zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9), np.float32)


def nearest_by_cosine(vectors: FloatArray, corpus: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """Rows of the corpus [I, F] nearest to each vector [N, F], best first, and their cosines, [N, k] both.

    Where the corpus has fewer than k rows, the row is -1 and the cosine 0.
    """
    normalized_corpus = normalize_rows(corpus)
    rows, cosines = np.full((len(vectors), k), -1, np.int32), np.zeros((len(vectors), k), np.float32)
    for start in range(0, len(vectors), _BATCH):
        batch = slice(start, start + _BATCH)
        ranked = top_k(normalize_rows(vectors[batch]) @ normalized_corpus.T, k)
        rows[batch] = ranked.items
        cosines[batch] = np.where(ranked.items >= 0, ranked.scores, 0.0)
    return rows, cosines


def normalized_transpose(corpus: sparse.csr_matrix) -> sparse.csr_matrix:
    """User histories [V, I] scaled to length 1 and transposed, as `neighbour_weights` needs them, [I, V]."""
    from sklearn.preprocessing import normalize  # takes a second, which only the stages of two models need

    return normalize(corpus).T.tocsr()


def neighbour_weights(query: sparse.csr_matrix, corpus: sparse.csr_matrix, k: int) -> FloatArray:
    """Cosine of each query row [U, I] with its k nearest users, 0 for all others, over their sum, [U, V] float32.

    corpus: a `normalized_transpose`, [I, V]; rows sum to 1, or to 0 without neighbours
    Users without a common item are never neighbours. All ties for the last place are included, so that the result
    does not depend on the order of the corpus.
    """
    from sklearn.preprocessing import normalize

    similarity: FloatArray = (normalize(query) @ corpus).toarray().astype(np.float32)
    if k < similarity.shape[1]:
        kth_best = np.partition(similarity, -k, axis=1)[:, -k, None]
        similarity[similarity < kth_best] = 0.0
    similarity /= np.maximum(similarity.sum(axis=1, keepdims=True), 1e-9)
    return similarity
