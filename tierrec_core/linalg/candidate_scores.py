"""Scores of given candidate items, for models that score in two steps.

Candidates are item columns [U, C]; -1 is padding, whose score `mask_padding` sets to -inf.
"""

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions


def mask_padding(scores: FloatArray, candidates: IntArray) -> FloatArray:
    """Scores with -inf where the candidate is padding, [U, C] float32."""
    return np.where(candidates >= 0, scores, -np.inf).astype(np.float32)


def factor_products(users: FloatArray, items: FloatArray, candidates: IntArray) -> FloatArray:
    """Inner products of user factors [U, F] and the candidates' rows of item factors [I, F], [U, C]."""
    return np.asarray(np.matmul(items[candidates], users[:, :, None])[..., 0])


def sparse_products(users: FloatArray, items: sparse.csr_matrix, candidates: IntArray) -> FloatArray:
    """Inner products of dense user rows [U, V] and the candidates' rows of a sparse `items` [I, V], [U, C]."""
    scores = np.empty(candidates.shape, np.float32)
    for row_scores, user, columns in zip(scores, users, candidates, strict=True):
        row_scores[:] = items[columns] @ user
    return scores


def sum_by_candidate(history: Interactions, candidates: IntArray, weight: FloatArray | None = None) -> FloatArray:
    """Sum of the weights [N] of a user's events with each candidate, or the number of events, [U, C] float32."""
    size = np.int64(history.num_items)
    candidate_key = (np.arange(len(candidates))[:, None] * size + candidates).ravel()
    sorted_keys = np.sort(candidate_key)
    event_key = history.user * size + history.item
    position = np.searchsorted(sorted_keys, event_key)
    hit = np.append(sorted_keys, -1)[position] == event_key
    sums = np.bincount(position[hit], None if weight is None else weight[hit], minlength=len(candidate_key))
    return sums[np.searchsorted(sorted_keys, candidate_key)].reshape(candidates.shape).astype(np.float32)
