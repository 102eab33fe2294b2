"""The k best of rows of scores, with a fixed order of ties."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

_BLOCKS = 4  # blocks of a row for each place of a list
_CROWD = 4  # candidates for each place beyond which the exact way is the cheaper one


@dataclass(frozen=True)
class TopK:
    """Lists of k items, best first.

    items: item columns, -1 where a list is shorter than k, [U, k] int32
    scores: the score of each, -inf where there is none, [U, k] float32
    """

    items: IntArray
    scores: FloatArray


def top_k(scores: FloatArray, k: int, mask: sparse.csr_matrix | None = None) -> TopK:
    """The k best items of each row of scores [U, I]; equal scores are ordered by item column.

    -inf and NaN are never ranked, nor are the entries that `mask` [U, I] stores.
    """
    usable = _usable(scores)
    if mask is not None:
        usable[np.repeat(np.arange(len(usable)), np.diff(mask.indptr)), mask.indices] = -np.inf
    row, column = np.nonzero(_chosen(usable, min(k, usable.shape[1])))
    order = np.lexsort((-usable[row, column], row))
    row, column = row[order], column[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    row, column, place = (index[place < k] for index in (row, column, place))
    ranked = empty(len(usable), k)
    ranked.items[row, place] = column
    ranked.scores[row, place] = usable[row, column]
    return ranked


def rank_candidates(scores: FloatArray, candidates: IntArray, k: int) -> TopK:
    """The k best of each row's candidates [U, C], which are distinct item columns or -1 for padding.

    Equal scores [U, C] are ordered by item column; -inf and NaN are never ranked.
    """
    usable = _usable(scores)
    usable[candidates < 0] = -np.inf
    order = np.lexsort((candidates, -usable), axis=1)[:, :k]
    best = np.take_along_axis(usable, order, axis=1)
    ranked = empty(len(usable), k)
    width = order.shape[1]
    ranked.items[:, :width] = np.where(best > -np.inf, np.take_along_axis(candidates, order, axis=1), -1)
    ranked.scores[:, :width] = best
    return ranked


def _usable(scores: FloatArray) -> FloatArray:
    """A float32 copy in which NaN has become -inf."""
    usable: FloatArray = np.fmax(scores, -np.inf, dtype=np.float32)
    return usable


def _chosen(usable: FloatArray, k: int) -> BoolArray:
    """Where the k best of each row are, and perhaps a few more, [U, I]; -inf is nowhere."""
    if k == 0:
        return np.zeros(usable.shape, dtype=bool)
    reached: BoolArray = (usable >= _low_bar(usable, k)) & (usable > -np.inf)
    crowded = np.flatnonzero(reached.sum(axis=1) > _CROWD * k)
    if len(crowded):
        reached[crowded] = _exactly(usable[crowded], k)
    return reached


def _low_bar(usable: FloatArray, k: int) -> FloatArray:
    """A score that at least k entries of each row reach, close below the k-th best, [U, 1].

    Cut into blocks, a row has k blocks whose best entries are at least the k-th best of all blocks' best. To
    find that one among a few hundred is far less work than to find the k-th best of a whole catalogue.
    """
    width = usable.shape[1] // (_BLOCKS * k)
    if width > 1:
        count = usable.shape[1] // width
        usable = usable[:, : count * width].reshape(len(usable), count, width).max(axis=2)
    return np.partition(usable, usable.shape[1] - k, axis=1)[:, -k, None]


def _exactly(usable: FloatArray, k: int) -> BoolArray:
    """Where exactly the k best of each row are, [U, I]; of those that tie for the last places, the first columns."""
    edge = np.partition(usable, usable.shape[1] - k, axis=1)[:, -k, None]
    above = usable > edge
    tied = (usable == edge) & (edge > -np.inf)
    room = k - above.sum(axis=1, keepdims=True)
    tied &= np.cumsum(tied, axis=1, dtype=np.int32) <= room
    chosen: BoolArray = above | tied
    return chosen


def empty(num_users: int, k: int) -> TopK:
    """Lists without items, [U, k]."""
    return TopK(
        np.full((num_users, k), -1, dtype=np.int32), np.full((num_users, k), -np.inf, dtype=np.float32)
    )
