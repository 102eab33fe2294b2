"""Peers on baskets: TIFU-KNN as published (Hu et al., SIGIR 2020), and models of `implicit` on counts."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender
from implicit.utils import ParameterWarning
from scipy import sparse
from threadpoolctl import threadpool_limits

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import Training


@dataclass(frozen=True)
class TifuKnn:
    """Each user's vector mixed with the mean of their nearest neighbours', by Euclidean distance.

    users: ids of the training users; a user is no neighbour of theirs, [V]
    vectors: of the training users, [V, I]
    options: groups, within, across (decays a basket and a group), neighbours, own_share
    """

    users: pd.Index
    vectors: sparse.csr_matrix
    options: Mapping[str, Any]

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """[U, I]"""
        own = user_vectors(history, self.options)
        rows = self._nearest(own, self.users.get_indexer(history.users))
        share, mean = self.options["own_share"], sparse.csr_matrix(rows / rows.sum(axis=1, keepdims=True))
        scores: FloatArray = (share * own + (1.0 - share) * (mean @ self.vectors)).toarray()
        return scores.astype(np.float32)

    def _nearest(self, own: sparse.csr_matrix, self_row: IntArray) -> FloatArray:
        """1 for each of the nearest training users, [U, V]."""
        square = np.asarray(self.vectors.multiply(self.vectors).sum(axis=1)).ravel()
        distance = square - 2.0 * (own @ self.vectors.T).toarray()
        known = np.flatnonzero(self_row >= 0)
        distance[known, self_row[known]] = np.inf
        count = min(self.options["neighbours"], len(square) - 1)
        nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
        rows = np.zeros(distance.shape, np.float32)
        np.put_along_axis(rows, nearest, 1.0, axis=1)
        return rows


def tifu_knn(training: Training, options: Mapping[str, Any]) -> TifuKnn:
    """Keep the vectors of all training users."""
    return TifuKnn(training.history.users, user_vectors(training.history, options), options)


def user_vectors(history: Interactions, options: Mapping[str, Any]) -> sparse.csr_matrix:
    """Baskets, newest weighing most, averaged within `groups` groups of equal size and then over these, [U, I].

    The oldest group has what is left over where a user's baskets cannot be shared out equally.
    """
    basket = np.ones(len(history), bool)
    basket[1:] = (np.diff(history.user) != 0) | (np.diff(history.session) != 0)
    user = history.user[basket]
    count = np.bincount(user, minlength=history.num_users)
    back = np.cumsum(count)[user] - 1 - np.arange(len(user))
    size = np.ceil(count / options["groups"]).astype(np.int64)[user]
    groups, group = -(-count[user] // size), back // size
    members = np.where(group == groups - 1, count[user] - group * size, size)
    weight = options["within"] ** (back % size) * options["across"] ** group / (members * groups)
    taken = sparse.coo_matrix(
        (np.ones(len(history), np.float32), (np.cumsum(basket) - 1, history.item)), shape=(len(user), history.num_items)
    ).tocsr()
    taken.data[:] = 1.0
    owner = sparse.coo_matrix((weight, (user, np.arange(len(user)))), shape=(history.num_users, len(user)))
    return (owner.tocsr() @ taken).astype(np.float32)


@dataclass(frozen=True)
class ImplicitAls:
    """The library's factors; a history's own are solved for anew (Hu et al., ICDM 2008)."""

    model: AlternatingLeastSquares

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """[U, I]"""
        users = self.model.recalculate_user(np.arange(history.num_users), log_counts(history))
        scores: FloatArray = np.asarray(users) @ np.asarray(self.model.item_factors).T
        return scores.astype(np.float32)


def implicit_als(training: Training, options: Mapping[str, Any]) -> ImplicitAls:
    """Fit the library's model to logarithms of counts."""
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(random_state=training.seed, num_threads=1, **options)
        model.fit(log_counts(training.history), show_progress=False)
    return ImplicitAls(model)


@dataclass(frozen=True)
class CountedBm25:
    """similarity: row i says what each purchase of item i says of the others, [I, I]"""

    similarity: sparse.csr_matrix

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """[U, I]"""
        scores: FloatArray = (history.matrix() @ self.similarity).toarray().astype(np.float32)
        return scores


def counted_bm25(training: Training, options: Mapping[str, Any]) -> CountedBm25:
    """BM25-weighted item-item neighbours (Robertson & Walker, SIGIR 1994) of counts, by `implicit`."""
    model = BM25Recommender(K=options["neighbours"], num_threads=1)
    with warnings.catch_warnings(action="ignore", category=ParameterWarning):
        model.fit(training.history.matrix().astype(np.float64), show_progress=False)
    return CountedBm25(model.similarity.astype(np.float32).tocsr())


def log_counts(history: Interactions) -> sparse.csr_matrix:
    """log(1 + how often), [U, I] float32."""
    matrix = history.matrix()
    matrix.data = np.log1p(matrix.data)
    return matrix
