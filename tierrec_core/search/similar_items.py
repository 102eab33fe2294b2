"""Similar items by common baskets, users and words.

The cosine of two items' columns (Sarwar et al., WWW 2001), shrunk so that rare items are not ranked first by
chance. The weighted matrices of baskets, users and words are stacked, so that products of columns are the weighted sum
of the cosines; `implicit` keeps each item's largest, so that no dense [I, I] matrix is needed.
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
from tierrec_core.data.text import Vocabulary, item_texts, tokenize
from tierrec_core.linalg.cosine import nearest_by_cosine

_USERS, _WORDS = 0.5, 0.02  # weights relative to baskets
_SHRINKAGE = 20.0
_MAX_ITEMS_PER_WORD = 1000  # more frequent words are left out: the time is quadratic in it
_VECTOR_WEIGHT = 1e-6  # of a neighbour by vectors only
_NUM_ANCHORS = 30  # nearest known items of an unseen one


@dataclass(frozen=True)
class SimilarItems:
    """Neighbours of each item, most similar first.

    neighbours: item columns, -1 where there are fewer, [I, K] int32
    weights: similarities, descending, 0 where there is no neighbour, [I, K] float32
    """

    neighbours: IntArray
    weights: FloatArray

    @classmethod
    def fit(cls, history: Interactions, items: pd.DataFrame, item_vectors: FloatArray, k: int = 50) -> Self:
        """Compare the items of the history, which ITEMS describes row by row.

        An item with fewer than k neighbours gets further ones by the cosine of vectors [I, F].
        """
        similarity = all_pairs_knn(_stacked(history, items), k + 1, num_threads=1, show_progress=False).tocsr()
        short = np.flatnonzero(np.diff(similarity.indptr) <= k)
        nearest, cosine = nearest_by_cosine(item_vectors[short], item_vectors, 2 * k + 1)
        row = np.repeat(short, nearest.shape[1])
        similarity = similarity + _VECTOR_WEIGHT * _pairs(row, nearest, cosine, similarity.shape)
        return cls(*_table(similarity - sparse.diags(similarity.diagonal()), k))

    def of_unseen(self, vectors: FloatArray, item_vectors: FloatArray) -> tuple[IntArray, FloatArray]:
        """Neighbours [N, K] and weights [N, K] of items without events, from their vectors [N, F].

        These are the neighbours of the items with the nearest vectors [I, F], weighted by the cosine.
        """
        anchors, cosine = nearest_by_cosine(vectors, item_vectors, _NUM_ANCHORS)
        row = np.arange(len(vectors)).repeat(anchors.shape[1])
        anchors, cosine = anchors.ravel(), cosine.ravel()
        weights = np.where(anchors >= 0, cosine, 0.0)[:, None] * self.weights[anchors]
        row = row.repeat(self.neighbours.shape[1])
        shape = (len(vectors), len(self.neighbours))
        return _table(_pairs(row, self.neighbours[anchors], weights, shape), self.neighbours.shape[1])


def _stacked(history: Interactions, items: pd.DataFrame) -> sparse.csr_matrix:
    """Weighted baskets, users and words by item; products of columns are similarities, [B + U + W, I]."""
    _, basket = np.unique(history.session, return_inverse=True)
    baskets = sparse.coo_matrix((np.ones(len(basket)), (basket, history.item)), (basket.max() + 1, len(items)))
    texts = [tokenize(text) for text in item_texts(items)]
    contains = (Vocabulary.of(texts).count(texts) > 0).astype(float)
    num_items = np.asarray(contains.sum(axis=0)).ravel()
    rare = np.flatnonzero(num_items <= _MAX_ITEMS_PER_WORD)
    words = normalize(contains @ sparse.diags(np.log(len(items) / num_items)))[:, rare].T
    parts = [_shrunk(baskets.tocsr()), _USERS**0.5 * _shrunk(history.binary_matrix()), _WORDS**0.5 * words]
    return sparse.vstack(parts, format="csr", dtype=np.float64)


def _shrunk(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The non-zero entries of the matrix [R, I] with columns scaled to a length below 1."""
    binary = matrix.copy()
    binary.data = np.ones(len(binary.data))
    length = np.sqrt(np.asarray(binary.sum(axis=0)).ravel() + _SHRINKAGE)
    return binary @ sparse.diags(1.0 / length)


def _pairs(row: IntArray, column: IntArray, weight: FloatArray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """The sum of the positive weights of each pair; a column of -1 is padding."""
    row, column, weight = row.ravel(), column.ravel(), weight.ravel()
    keep = (column >= 0) & (weight > 0)
    return sparse.coo_matrix((weight[keep], (row[keep], column[keep])), shape).tocsr()


def _table(similarity: sparse.csr_matrix, k: int) -> tuple[IntArray, FloatArray]:
    """The k largest positive entries of each row: columns, -1 where there are fewer, and values, [R, k] both."""
    row = np.repeat(np.arange(similarity.shape[0]), np.diff(similarity.indptr))
    order = np.lexsort((similarity.indices, -similarity.data, row))
    order = order[similarity.data[order] > 0]
    row = row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    row, rank, order = (index[rank < k] for index in (row, rank, order))
    shape = (similarity.shape[0], k)
    columns, values = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    columns[row, rank], values[row, rank] = similarity.indices[order], similarity.data[order]
    return columns, values
