"""Scores of a few given items: what the second step of a two-step model is made of.

Candidates are columns [U, C]; one of -1 is padding, which `or_never` turns into -inf.
"""

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions


def or_never(scores: FloatArray, candidates: IntArray) -> FloatArray:
    """The scores, -inf where the candidate is padding, [U, C] float32."""
    return np.where(candidates >= 0, scores, -np.inf).astype(np.float32)


def factor_products(users: FloatArray, items: FloatArray, candidates: IntArray) -> FloatArray:
    """Inner products of user factors [U, F] with those of the candidates among the items [I, F], [U, C]."""
    scores: FloatArray = np.matmul(items[candidates], users[:, :, None])[..., 0]
    return scores


def sparse_products(users: FloatArray, items: sparse.csr_matrix, candidates: IntArray) -> FloatArray:
    """Inner products of dense user rows [U, V] with the candidates' sparse rows of `items` [I, V], [U, C]."""
    scores = np.empty(candidates.shape, np.float32)
    for score, user, wanted in zip(scores, users, candidates, strict=True):
        score[:] = items[wanted] @ user
    return scores


def met_sums(history: Interactions, candidates: IntArray, weight: FloatArray | None = None) -> FloatArray:
    """Sum of the weights [N] of a user's events with each candidate, or their number, [U, C]."""
    size = np.int64(history.num_items)
    wanted = (np.arange(len(candidates))[:, None] * size + candidates).ravel()
    ordered = np.sort(wanted)
    event = history.user * size + history.item
    found = np.searchsorted(ordered, event)
    hit = np.append(ordered, -1)[found] == event
    sums = np.bincount(found[hit], None if weight is None else weight[hit], minlength=len(wanted))
    return sums[np.searchsorted(ordered, wanted)].reshape(candidates.shape).astype(np.float32)
