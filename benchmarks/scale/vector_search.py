"""Exact inner-product search for the top items of many users, optionally with int8 vectors."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Self

import numpy as np
from scipy import sparse
from threadpoolctl import ThreadpoolController

from tierrec_core.base import memmap
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.linalg.top_k import TopK, top_k

_SCORES_AT_ONCE = 1 << 20  # so many float32 stay in the cache from the product to the selection
_LEVELS = 127


@dataclass(frozen=True)
class Vectors:
    """Finite factors, in float32 or rounded to int8 with a scale per row.

    users: [U, F] and items: [I, F], float32 or int8
    user_scale: [U] and item_scale: [I], float32, what a 1 stands for
    """

    users: FloatArray | IntArray
    items: FloatArray | IntArray
    user_scale: FloatArray
    item_scale: FloatArray

    @classmethod
    def of(cls, users: FloatArray, items: FloatArray) -> Self:
        """Use factors in single precision."""
        scales = (np.ones(len(side), np.float32) for side in (users, items))
        return cls(users.astype(np.float32), items.astype(np.float32), *scales)

    def quantised(self) -> Self:
        """Round each row to int8 with its largest entry at 127."""
        users, user_scale = _quantise(self.users * self.user_scale[:, None])
        items, item_scale = _quantise(self.items * self.item_scale[:, None])
        return replace(self, users=users, items=items, user_scale=user_scale, item_scale=item_scale)

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.items)

    def factors_of(self, users: IntArray) -> FloatArray:
        """The users' factors in single precision, [B, F]."""
        factors: FloatArray = self.users[users] * self.user_scale[users, None]
        return factors

    def top_k(self, users: IntArray, k: int, exclude: sparse.csr_matrix | None = None, *, threads: int = 1) -> TopK:
        """Top k items of these users [R], [R, k]; ties are ordered by item column.

        exclude: entries that are never ranked, [R, I]
        """
        return self.search(self.factors_of(users), k, exclude, threads=threads)

    def search(
        self, factors: FloatArray, k: int, exclude: sparse.csr_matrix | None = None, *, threads: int = 1
    ) -> TopK:
        """As `top_k`, for given user factors [R, F]."""
        items = np.full((len(factors), k), -1, np.int32)
        ranked = TopK(items, np.full(items.shape, -np.inf, np.float32))
        spans = [span for span in np.array_split(np.arange(len(factors)), threads) if len(span)]

        def fill(span: IntArray) -> None:
            for rows, part in self._ranked(factors, k, exclude, range(span[0], span[-1] + 1)):
                ranked.items[rows], ranked.scores[rows] = part.items, part.scores

        with _threads().limit(limits=1, user_api="blas"):
            if len(spans) > 1:
                with ThreadPoolExecutor(len(spans)) as pool:
                    list(pool.map(fill, spans))
            else:
                for span in spans:
                    fill(span)
        return ranked

    def save(self, folder: Path) -> None:
        """Write to the folder atomically."""
        memmap.save_arrays(self, folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Memory-map what `save` wrote. Raises ArtifactError when it is missing or damaged."""
        return memmap.map_arrays(cls, folder)

    def _ranked(
        self, factors: FloatArray, k: int, exclude: sparse.csr_matrix | None, rows: range
    ) -> Iterator[tuple[slice, TopK]]:
        """Row batches whose scores fit the CPU cache, with their lists."""
        items, num_blocks = self._dequantised, _num_blocks(self.num_items, k)
        width = -(-self.num_items // num_blocks) * num_blocks
        size = max(1, min(_SCORES_AT_ONCE // width, len(rows)))
        scores = np.full((size, width), -np.inf, np.float32)
        for start in range(rows.start, rows.stop, size):
            part = slice(start, min(start + size, rows.stop))
            found = scores[: part.stop - part.start]
            np.matmul(factors[part], items.T, out=found[:, : self.num_items])
            if exclude is not None:
                first, last = exclude.indptr[part], exclude.indptr[start + 1 : part.stop + 1]
                row = np.repeat(np.arange(len(first)), last - first)
                found[row, exclude.indices[first[0] : last[-1]]] = -np.inf
            yield part, _select(found, k, num_blocks)

    @cached_property
    def _dequantised(self) -> FloatArray:
        """The items' factors in single precision, [I, F]."""
        factors: FloatArray = self.items * self.item_scale[:, None]
        return factors


def _num_blocks(num_items: int, k: int) -> int:
    """Number of blocks per row that minimizes the cost of scanning block maxima and k blocks."""
    width = max(1, int((num_items / max(k, 1)) ** 0.5 / 2))
    return -(-num_items // width)


def _select(scores: FloatArray, k: int, num_blocks: int) -> TopK:
    """As ranking.top_k for scores without NaN, [B, W] with W a multiple of the blocks, and far faster.

    Block b holds the columns b, b + num_blocks, ... The k best items lie in the k blocks with the highest maxima.
    Where equal scores leave a choice, or fewer than k items are left, ranking.top_k decides.
    """
    if k >= num_blocks:
        return top_k(scores, k)
    depth = scores.shape[1] // num_blocks
    best = scores.reshape(len(scores), depth, num_blocks).max(axis=1)
    blocks = np.argpartition(best, num_blocks - k, axis=1)[:, None, num_blocks - k :]
    columns = (blocks + num_blocks * np.arange(depth)[:, None]).reshape(len(scores), -1)
    found = np.take_along_axis(scores, columns, axis=1)
    chosen = np.argpartition(found, found.shape[1] - k, axis=1)[:, -k:]
    items, values = (np.take_along_axis(table, chosen, axis=1) for table in (columns, found))
    order = np.lexsort((items, -values), axis=1)
    items, values = (np.take_along_axis(table, order, axis=1) for table in (items, values))
    bar = values[:, -1:]
    open_choice = ((best >= bar).sum(axis=1) > k) | ((found >= bar).sum(axis=1) > k)
    for row in np.flatnonzero(open_choice):
        exact = top_k(scores[row : row + 1], k)
        items[row], values[row] = exact.items[0], exact.scores[0]
    return TopK(items.astype(np.int32), values)


def _quantise(factors: FloatArray) -> tuple[IntArray, FloatArray]:
    """Rows as int8, and the scale of each row."""
    scale = np.abs(factors).max(axis=1, initial=0.0) / _LEVELS
    rounded = np.rint(factors / np.where(scale > 0, scale, 1.0)[:, None])
    return rounded.astype(np.int8), scale.astype(np.float32)


@cache
def _threads() -> ThreadpoolController:
    """Thread pools of the loaded libraries, cached since the lookup takes longer than a search."""
    return ThreadpoolController()
