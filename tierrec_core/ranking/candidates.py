"""Top-k lists of single models, and candidates: the union of all retrievers' lists with every model's score of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

import numpy as np
from scipy import sparse

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.candidate_scores import mask_padding
from tierrec_core.linalg.top_k import TopK, rank_candidates, rank_within_groups, top_k
from tierrec_core.protocols.model import EncodedScorer, Ranker, Recommender, Retriever
from tierrec_core.settings import RetrieveSettings

_BATCH = 256


@dataclass(frozen=True)
class Candidates:
    """User-item pairs to be ranked, sorted by (user, item).

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
        """Only the pairs of these user rows."""
        return self.where(np.isin(self.user, users))

    def renumbered(self, rows: IntArray) -> Self:
        """Map user row r to rows[r], its row in a larger table."""
        return type(self)(rows[self.user].astype(np.int32), self.item, self.scores)

    def among(self, user: IntArray, item: IntArray, num_items: int) -> BoolArray:
        """Whether each candidate is one of the given pairs (user [Q], item [Q]), [P]."""
        key = self.user.astype(np.int64) * num_items + self.item
        return np.isin(key, user.astype(np.int64) * num_items + item)

    def padded(self, num_users: int) -> IntArray:
        """Item columns by user, -1 as padding, [U, C]."""
        count = np.bincount(self.user, minlength=num_users)
        table = np.full((num_users, count.max(initial=0)), -1, np.int32)
        table[np.arange(table.shape[1]) < count[:, None]] = self.item
        return table

    def best(self, scores: FloatArray, num_users: int, k: int) -> TopK:
        """The k candidates of each user with the highest of the given scores [P], [U, k]."""
        table = self.padded(num_users)
        padded = np.full(table.shape, -np.inf)
        padded[table >= 0] = scores
        return rank_candidates(padded, table, k)

    def ranks(self) -> dict[str, FloatArray]:
        """Rank of each pair among its user's candidates by each model, 0 = first, [P]."""
        if len(self) and self.user[0] == self.user[-1]:
            return dict(zip(self.scores, _rank_one_user(list(self.scores.values())), strict=True))
        return {name: rank_within_groups(self.user, score) for name, score in self.scores.items()}


def rank_catalogue(model: Retriever, history: Interactions, k: int, *, exclude_seen: bool, batch: int = 512) -> TopK:
    """The model's top k of the whole catalogue for each history, [U, k], scored `batch` users at a time.

    exclude_seen: leave out the items of the history.
    """
    return rank_catalogue_variants(model, history, k, exclude_seen=(exclude_seen,), batch=batch)[0]


def rank_catalogue_variants(
    model: Retriever, history: Interactions, k: int, *, exclude_seen: Sequence[bool], batch: int = 512
) -> list[TopK]:
    """As rank_catalogue, once for each value of exclude_seen, scoring every user only once."""
    variants: list[list[TopK]] = [[] for _ in exclude_seen]
    for part in history.batches(batch):
        scores, seen = model.score_catalogue(part), part.binary_matrix()
        for lists, exclude in zip(variants, exclude_seen, strict=True):
            lists.append(top_k(scores, k, seen if exclude else None))
    return [
        TopK(np.concatenate([part.items for part in lists]), np.concatenate([part.scores for part in lists]))
        for lists in variants
    ]


def retrieve(
    models: Mapping[str, Recommender], history: Interactions, settings: RetrieveSettings, *, repeats: bool
) -> Candidates:
    """Collect the user's seen items and the top of each retriever's list, and score them with every model.

    Without repeats, seen items are not candidates. Users are scored in batches to bound the memory.
    """
    parts = []
    for number, batch in enumerate(history.batches(_BATCH)):
        part = _retrieve_batch(models, batch, settings, repeats=repeats)
        parts.append(replace(part, user=part.user + number * _BATCH))
    return Candidates(
        np.concatenate([part.user for part in parts]),
        np.concatenate([part.item for part in parts]),
        {name: np.concatenate([part.scores[name] for part in parts]) for name in models},
    )


def score_candidates(
    models: Mapping[str, Recommender],
    history: Interactions,
    candidates: IntArray,
    user_states: Mapping[str, FloatArray] | None = None,
) -> dict[str, FloatArray]:
    """Score given item columns [U, C], -1 as padding, with every model; scores by the model's name, [U, C] float32.

    user_states: stored results of `encode_users` for these histories, by the model's name, [U, S] each
    """
    stored = user_states or {}
    return {name: _score(model, history, candidates, stored.get(name)) for name, model in models.items()}


def _score(
    model: Recommender, history: Interactions, candidates: IntArray, user_states: FloatArray | None
) -> FloatArray:
    if hasattr(model, "score_encoded"):  # isinstance of a protocol is as slow as some models' scoring
        scorer = cast("EncodedScorer", model)
        states = scorer.encode_users(history) if user_states is None else user_states
        return scorer.score_encoded(history, states, candidates)
    if isinstance(model, Ranker):
        return model.score_candidates(history, candidates)
    scores = cast("Retriever", model).score_catalogue(history)
    return mask_padding(np.take_along_axis(scores, candidates.astype(np.int64), axis=1), candidates)


def _retrieve_batch(
    models: Mapping[str, Recommender], history: Interactions, settings: RetrieveSettings, *, repeats: bool
) -> Candidates:
    selected = np.zeros((history.num_users, history.num_items), bool)
    seen = history.decayed_matrix(settings.repeat_half_life)
    if repeats:
        _select_seen(selected, seen, settings.max_repeat_candidates)
    catalogue_scores: dict[str, FloatArray] = {}
    for name, model in models.items():
        if isinstance(model, Retriever):
            catalogue_scores[name] = model.score_catalogue(history)
            count = settings.per_model.get(name, settings.per_model_default)
            _select_top(selected, catalogue_scores[name], count, None if repeats else seen.nonzero())
    user, item = (index.astype(np.int32) for index in np.nonzero(selected))
    scores = {name: score[user, item] for name, score in catalogue_scores.items()}
    table = Candidates(user, item, scores).padded(history.num_users)
    for name, model in models.items():
        if name not in scores and isinstance(model, Ranker):
            scores[name] = model.score_candidates(history, table)[table >= 0]
    return Candidates(user, item, {name: scores[name].astype(np.float32) for name in models})


def _select_top(
    selected: BoolArray, scores: FloatArray, count: int, excluded: tuple[IntArray, IntArray] | None
) -> None:
    """Mark the `count` highest of each row of scores in `selected`, both [U, I], except the excluded pairs."""
    if excluded is not None:
        scores = scores.copy()
        scores[excluded] = -np.inf
    items = top_k(scores, count).items
    row, position = np.nonzero(items >= 0)
    selected[row, items[row, position]] = True


def _select_seen(selected: BoolArray, seen: sparse.csr_matrix, count: int) -> None:
    """Mark the `count` items of each row of `seen` with the highest values in `selected`, both [U, I]."""
    row = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr))
    top = rank_within_groups(row, seen.data) < count
    selected[row[top], seen.indices[top]] = True


def _rank_one_user(scores: Sequence[FloatArray]) -> FloatArray:
    """As `rank_within_groups`, vectorised over all models' scores [P] of one user's candidates, [M, P]."""
    order = np.argsort(-np.stack(scores), axis=1, kind="stable")
    ranks = np.empty(order.shape, np.float32)
    np.put_along_axis(ranks, order, np.arange(order.shape[1], dtype=np.float32)[None], axis=1)
    return ranks
