"""Rankings of the whole catalogue by one model, a batch of users at a time."""

from collections.abc import Iterator, Sequence

import numpy as np

from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.top_k import TopK, empty_lists, top_k
from tierrec_core.protocols.model import Retriever

_BATCH = 512


def rank_catalogue(
    model: Retriever, history: Interactions, k: int, *, exclude_seen: bool, batch: int = _BATCH
) -> TopK:
    """The model's first k of the whole catalogue for each history, [U, k], scored `batch` users at a time.

    exclude_seen leaves out the items of the user's own history.
    """
    return rank_catalogue_variants(model, history, k, exclude_seen=(exclude_seen,), batch=batch)[0]


def rank_catalogue_variants(
    model: Retriever, history: Interactions, k: int, *, exclude_seen: Sequence[bool], batch: int = _BATCH
) -> list[TopK]:
    """As rank_catalogue, once for each value of exclude_seen, while every user is scored only once."""
    views: list[list[TopK]] = [[] for _ in exclude_seen]
    for part in _batches(history, batch):
        scores, met = model.score_catalogue(part), part.binary_matrix()
        for view, excluded in zip(views, exclude_seen, strict=True):
            view.append(top_k(scores, k, met if excluded else None))
    return [_stack(view, k) for view in views]


def _batches(history: Interactions, batch: int) -> Iterator[Interactions]:
    for start in range(0, history.num_users, batch):
        yield history.select_users(np.arange(start, min(start + batch, history.num_users)))


def _stack(parts: Sequence[TopK], k: int) -> TopK:
    if not parts:
        return empty_lists(0, k)
    return TopK(
        np.concatenate([part.items for part in parts]), np.concatenate([part.scores for part in parts])
    )
