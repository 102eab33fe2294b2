"""Candidates: what any retriever would show a user, with every model's score and rank of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.candidate_scores import mask_padding
from tierrec_core.linalg.top_k import top_k
from tierrec_core.protocols.model import EncodedScorer, Ranker, Recommender, Retriever
from tierrec_core.settings import RetrieveSettings

_BATCH = 256


@dataclass(frozen=True)
class Candidates:
    """Pairs of users and items to be ordered, in order of (user, item).

    user, item: row and column of each pair, [P]
    scores: each model's score of each pair, by the model's name, [P]
    """

    user: IntArray
    item: IntArray
    scores: dict[str, FloatArray]

    def __len__(self) -> int:
        return len(self.user)

    def where(self, keep: BoolArray) -> Self:
        """Only the pairs where keep [P] is true."""
        scores = {name: score[keep] for name, score in self.scores.items()}
        return type(self)(self.user[keep], self.item[keep], scores)

    def of_users(self, users: IntArray) -> Self:
        """Only the pairs of these rows."""
        return self.where(np.isin(self.user, users))

    def renumbered(self, rows: IntArray) -> Self:
        """The same pairs where row r of these is row rows[r] of a larger table."""
        return type(self)(rows[self.user].astype(np.int32), self.item, self.scores)

    def among(self, user: IntArray, item: IntArray, num_items: int) -> BoolArray:
        """Whether each candidate is one of the given pairs (user [Q], item [Q]), [P]."""
        mine = self.user.astype(np.int64) * num_items + self.item
        return np.isin(mine, user.astype(np.int64) * num_items + item)

    def padded(self, num_users: int) -> IntArray:
        """The same candidates as a table of item columns, -1 as padding, [U, C]."""
        return _pad(self.user, self.item, num_users)

    def ranks(self) -> dict[str, FloatArray]:
        """Where each model puts a pair among its user's candidates, 0 = first, [P]."""
        if len(self) and self.user[0] == self.user[-1]:
            return dict(zip(self.scores, _ranks_of_one(list(self.scores.values())), strict=True))
        return {name: _rank(self.user, score) for name, score in self.scores.items()}


def retrieve(
    models: Mapping[str, Recommender], history: Interactions, settings: RetrieveSettings, *, repeats: bool
) -> Candidates:
    """The union of the user's own items and the first of each retriever's list, scored by every model.

    Without repeats, items of the user's own history are no candidates. Users are taken in batches, so that
    memory does not grow with their number.
    """
    parts = [
        _retrieve_batch(models, history.select_users(rows), settings, repeats=repeats)
        for rows in _batches(history.num_users)
    ]
    starts = np.arange(0, max(history.num_users, 1), _BATCH)
    return Candidates(
        np.concatenate([part.user + start for part, start in zip(parts, starts, strict=True)]),
        np.concatenate([part.item for part in parts]),
        {name: np.concatenate([part.scores[name] for part in parts]) for name in models},
    )


def score_candidates(
    models: Mapping[str, Recommender],
    history: Interactions,
    candidates: IntArray,
    states: Mapping[str, FloatArray] | None = None,
) -> dict[str, FloatArray]:
    """Every model's scores of given item columns [U, C], -1 as padding, by the model's name, [U, C] float32.

    states: what two-step models made of these histories before, by the model's name, [U, S] each
    """
    kept = states or {}
    return {name: _given(model, history, candidates, kept.get(name)) for name, model in models.items()}


def _given(
    model: Recommender, history: Interactions, candidates: IntArray, state: FloatArray | None
) -> FloatArray:
    if hasattr(model, "score_encoded"):  # isinstance of a protocol takes as long as the scores of some models
        two_step = cast("EncodedScorer", model)
        known = two_step.encode_users(history) if state is None else state
        return two_step.score_encoded(history, known, candidates)
    if isinstance(model, Ranker):
        return model.score_candidates(history, candidates)
    scores = cast("Retriever", model).score_catalogue(history)
    return mask_padding(np.take_along_axis(scores, candidates.astype(np.int64), axis=1), candidates)


def _retrieve_batch(
    models: Mapping[str, Recommender], history: Interactions, settings: RetrieveSettings, *, repeats: bool
) -> Candidates:
    chosen = np.zeros((history.num_users, history.num_items), bool)
    met = history.decayed_matrix(settings.repeat_half_life)
    if repeats:
        _choose_own(chosen, met, settings.max_repeat_candidates)
    scores: dict[str, FloatArray] = {}
    retrievers = {name: model for name, model in models.items() if isinstance(model, Retriever)}
    for name, retriever in retrievers.items():
        scores[name] = retriever.score_catalogue(history)
        count = settings.per_model.get(name, settings.per_model_default)
        _choose(chosen, scores[name], count, None if repeats else met.nonzero())
    user, item = (index.astype(np.int32) for index in np.nonzero(chosen))
    found = {name: score[user, item] for name, score in scores.items()}
    table = _pad(user, item, history.num_users)
    rankers = {
        name: model for name, model in models.items() if name not in found and isinstance(model, Ranker)
    }
    for name, ranker in rankers.items():
        found[name] = ranker.score_candidates(history, table)[table >= 0]
    return Candidates(user, item, {name: found[name].astype(np.float32) for name in models})


def _choose(
    chosen: BoolArray, scores: FloatArray, count: int, without: tuple[IntArray, IntArray] | None
) -> None:
    """Mark the first `count` of each row of scores in `chosen`, both [U, I]; `without` are pairs to pass over."""
    if without is not None:
        scores = scores.copy()
        scores[without] = -np.inf
    items = top_k(scores, count).items
    row, place = np.nonzero(items >= 0)
    chosen[row, items[row, place]] = True


def _choose_own(chosen: BoolArray, met: sparse.csr_matrix, count: int) -> None:
    """Mark the `count` items of each row of `met` with the highest values in `chosen`, both [U, I]."""
    row = np.repeat(np.arange(met.shape[0]), np.diff(met.indptr))
    first = _rank(row, met.data) < count
    chosen[row[first], met.indices[first]] = True


def _batches(num_users: int) -> Iterator[IntArray]:
    for start in range(0, max(num_users, 1), _BATCH):
        yield np.arange(start, min(start + _BATCH, num_users))


def _pad(user: IntArray, item: IntArray, num_users: int) -> IntArray:
    """Pairs in order of user as a table [U, C] with -1 behind."""
    count = np.bincount(user, minlength=num_users)
    table = np.full((num_users, count.max(initial=0)), -1, np.int32)
    table[np.arange(table.shape[1]) < count[:, None]] = item
    return table


def _ranks_of_one(scores: Sequence[FloatArray]) -> FloatArray:
    """As `_rank`, for all models' scores [P] of the candidates of one user, [M, P]."""
    order = np.argsort(-np.stack(scores), axis=1, kind="stable")
    ranks = np.empty(order.shape, np.float32)
    np.put_along_axis(ranks, order, np.arange(order.shape[1], dtype=np.float32)[None], axis=1)
    return ranks


def _rank(user: IntArray, score: FloatArray) -> FloatArray:
    """Rank within each user, 0 = highest score; pairs are in order of user, ties keep their order."""
    order = np.lexsort((-score, user))
    count = np.bincount(user)
    first = np.repeat(np.cumsum(count) - count, count)
    rank = np.empty(len(user), np.float32)
    rank[order] = np.arange(len(user)) - first
    return rank
