"""Top-k selection over rows of scores, with a deterministic order of ties."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

_BLOCKS_PER_RANK = 4
_MAX_CANDIDATES_PER_RANK = 4  # with more ties than this, exact selection is cheaper than sorting


@dataclass(frozen=True)
class TopK:
    """Lists of k items, best first.

    items: item columns, -1 where a list is shorter than k, [U, k] int32
    scores: the score of each, -inf where there is no item, [U, k] float32
    """

    items: IntArray
    scores: FloatArray


def top_k(scores: FloatArray, k: int, mask: sparse.csr_matrix | None = None) -> TopK:
    """The k best items of each row of scores [U, I]; equal scores are ordered by item column.

    -inf and NaN are never ranked, nor are the entries that `mask` [U, I] stores.
    """
    usable = _without_nan(scores)
    if mask is not None:
        usable[np.repeat(np.arange(len(usable)), np.diff(mask.indptr)), mask.indices] = -np.inf
    row, column = np.nonzero(_preselect(usable, min(k, usable.shape[1])))
    order = np.lexsort((-usable[row, column], row))
    row, column = row[order], column[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    row, column, rank = (index[rank < k] for index in (row, column, rank))
    ranked = empty_lists(len(usable), k)
    ranked.items[row, rank] = column
    ranked.scores[row, rank] = usable[row, column]
    return ranked


def rank_candidates(scores: FloatArray, candidates: IntArray, k: int) -> TopK:
    """The k best of each row's candidates [U, C], which are distinct item columns or -1 for padding.

    Equal scores [U, C] are ordered by item column; -inf and NaN are never ranked.
    """
    usable = _without_nan(scores)
    usable[candidates < 0] = -np.inf
    order = np.lexsort((candidates, -usable), axis=1)[:, :k]
    best = np.take_along_axis(usable, order, axis=1)
    ranked = empty_lists(len(usable), k)
    width = order.shape[1]
    ranked.items[:, :width] = np.where(best > -np.inf, np.take_along_axis(candidates, order, axis=1), -1)
    ranked.scores[:, :width] = best
    return ranked


def rank_within_groups(group: IntArray, score: FloatArray) -> FloatArray:
    """Rank of each score within its group, 0 = highest, [P] float32; sorted by group, ties keep their order."""
    order = np.lexsort((-score, group))
    rank = np.empty(len(group), np.float32)
    rank[order] = np.arange(len(group)) - np.searchsorted(group, group)
    return rank


def empty_lists(num_users: int, k: int) -> TopK:
    """Lists without items, [U, k]."""
    return TopK(np.full((num_users, k), -1, dtype=np.int32), np.full((num_users, k), -np.inf, dtype=np.float32))


def _without_nan(scores: FloatArray) -> FloatArray:
    """A float32 copy with -inf for NaN."""
    return np.fmax(scores, -np.inf, dtype=np.float32)


def _preselect(usable: FloatArray, k: int) -> BoolArray:
    """Mask of the k best entries of each row and possibly a few more, [U, I]; never -inf."""
    if k == 0:
        return np.zeros(usable.shape, dtype=bool)
    selected: BoolArray = (usable >= _threshold(usable, k)) & (usable > -np.inf)
    oversized = np.flatnonzero(selected.sum(axis=1) > _MAX_CANDIDATES_PER_RANK * k)
    if len(oversized):
        selected[oversized] = _select_exactly(usable[oversized], k)
    return selected


def _threshold(usable: FloatArray, k: int) -> FloatArray:
    """A score that at least k entries of each row reach, slightly below the k-th best, [U, 1].

    The row is cut into blocks, and the k-th largest of the blocks' maxima is taken: k entries reach it, and
    partitioning a few hundred maxima costs far less than partitioning a whole catalogue.
    """
    width = usable.shape[1] // (_BLOCKS_PER_RANK * k)
    if width > 1:
        num_blocks = usable.shape[1] // width
        usable = usable[:, : num_blocks * width].reshape(len(usable), num_blocks, width).max(axis=2)
    return np.partition(usable, usable.shape[1] - k, axis=1)[:, -k, None]


def _select_exactly(usable: FloatArray, k: int) -> BoolArray:
    """Mask of exactly the k best entries of each row, [U, I]; ties for the last ranks go to the first columns."""
    kth_best = np.partition(usable, usable.shape[1] - k, axis=1)[:, -k, None]
    above = usable > kth_best
    tied = (usable == kth_best) & (kth_best > -np.inf)
    remaining = k - above.sum(axis=1, keepdims=True)
    tied &= np.cumsum(tied, axis=1, dtype=np.int32) <= remaining
    return np.asarray(above | tied)
