"""Similar items, from common baskets, common users and common words.

The cosine of two items' columns (Sarwar et al., WWW 2001), with a few empty rows added to every item so that rare
items do not win by chance. One below the other, the weighted baskets, people and words are one matrix whose columns'
products are the blend; `implicit` keeps each item's largest, so that items by items never exist.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from implicit.nearest_neighbours import all_pairs_knn
from scipy import sparse
from sklearn.preprocessing import normalize

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.text import item_texts, tokenize
from tierrec_core.data.vocabulary import Vocabulary
from tierrec_core.linalg.cosine import nearest_by_cosine

_PEOPLE, _WORDS = 0.5, 0.02  # what these weigh beside baskets
_SHRINKAGE = 20.0
_COMMON = 1000  # items; a word of more tells little of each and takes the square of them in time
_LEAST = 1e-6  # of a neighbour that only vectors tell of
_VOUCHERS = 30


@dataclass(frozen=True)
class SimilarItems:
    """Neighbours of each item, most similar first.

    neighbours: item columns, -1 where there are fewer, [I, K] int32
    weights: how alike, falling, 0 where there is none, [I, K] float32
    """

    neighbours: IntArray
    weights: FloatArray

    @classmethod
    def fit(cls, history: Interactions, items: pd.DataFrame, item_vectors: FloatArray, k: int = 50) -> Self:
        """Compare the items of the history, which ITEMS describes row by row.

        An item that shares too little with others gets the rest of its k by the cosine of vectors [I, F].
        """
        evidence = _evidence(history, items)
        alike = all_pairs_knn(evidence, k + 1, num_threads=1, show_progress=False).tocsr()
        short = np.flatnonzero(np.diff(alike.indptr) <= k)
        near, cosine = nearest_by_cosine(item_vectors[short], item_vectors, 2 * k + 1)
        alike = alike + _LEAST * _pairs(np.repeat(short, near.shape[1]), near, cosine, alike.shape)
        return cls(*_table(alike - sparse.diags(alike.diagonal()), k))

    def of_unseen(self, vectors: FloatArray, item_vectors: FloatArray) -> tuple[IntArray, FloatArray]:
        """Neighbours [N, K] and weights [N, K] of items that nobody has met, from the vectors that their content tells.

        The neighbours of the items with the nearest vectors [I, F], which vouch for them by the cosine.
        """
        vouching, cosine = nearest_by_cosine(vectors, item_vectors, _VOUCHERS)
        row = np.arange(len(vectors)).repeat(vouching.shape[1])
        vouching, cosine = vouching.ravel(), cosine.ravel()
        votes = np.where(vouching >= 0, cosine, 0.0)[:, None] * self.weights[vouching]
        row = row.repeat(self.neighbours.shape[1])
        shape = (len(vectors), len(self.neighbours))
        return _table(_pairs(row, self.neighbours[vouching], votes, shape), self.neighbours.shape[1])


def _evidence(history: Interactions, items: pd.DataFrame) -> sparse.csr_matrix:
    """Baskets, people and words, one below the other; columns' products say how alike items are, [B + U + W, I]."""
    _, basket = np.unique(history.session, return_inverse=True)
    baskets = sparse.coo_matrix((np.ones(len(basket)), (basket, history.item)), (basket.max() + 1, len(items)))
    written = [tokenize(text) for text in item_texts(items)]
    count = Vocabulary.of(written).count(written)
    carried = (count > 0).astype(float)
    carriers = np.asarray(carried.sum(axis=0)).ravel()
    rarity = np.log(len(items) / carriers)
    rare = np.flatnonzero(carriers <= _COMMON)
    said = normalize(carried @ sparse.diags(rarity))[:, rare].T
    parts = [_shrunk(baskets.tocsr()), _PEOPLE**0.5 * _shrunk(history.binary_matrix()), _WORDS**0.5 * said]
    return sparse.vstack(parts, format="csr", dtype=np.float64)


def _shrunk(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Where the matrix [R, I] is not 0, in columns of length just below 1."""
    met = matrix.copy()
    met.data = np.ones(len(met.data))
    length = np.sqrt(np.asarray(met.sum(axis=0)).ravel() + _SHRINKAGE)
    return met @ sparse.diags(1.0 / length)


def _pairs(row: IntArray, column: IntArray, weight: FloatArray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """The sum of the positive weights of each pair; a column of -1 is padding."""
    row, column, weight = row.ravel(), column.ravel(), weight.ravel()
    kept = (column >= 0) & (weight > 0)
    return sparse.coo_matrix((weight[kept], (row[kept], column[kept])), shape).tocsr()


def _table(alike: sparse.csr_matrix, k: int) -> tuple[IntArray, FloatArray]:
    """The k largest entries of each row: columns, -1 where there are fewer, and values, [R, k] both."""
    row = np.repeat(np.arange(alike.shape[0]), np.diff(alike.indptr))
    order = np.lexsort((alike.indices, -alike.data, row))
    order = order[alike.data[order] > 0]
    row = row[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    row, place, order = (index[place < k] for index in (row, place, order))
    columns, values = np.full((alike.shape[0], k), -1, np.int32), np.zeros((alike.shape[0], k), np.float32)
    columns[row, place], values[row, place] = alike.indices[order], alike.data[order]
    return columns, values
