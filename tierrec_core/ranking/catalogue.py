"""Top-k lists from one model's scores of the whole catalogue, in batches of users."""

from collections.abc import Sequence

import numpy as np

from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.top_k import TopK, empty_lists, top_k
from tierrec_core.protocols.model import Retriever

_BATCH = 512


def rank_catalogue(model: Retriever, history: Interactions, k: int, *, exclude_seen: bool, batch: int = _BATCH) -> TopK:
    """The model's top k of the whole catalogue for each history, [U, k], scored `batch` users at a time.

    exclude_seen: leave out the items of the history.
    """
    return rank_catalogue_variants(model, history, k, exclude_seen=(exclude_seen,), batch=batch)[0]


def rank_catalogue_variants(
    model: Retriever, history: Interactions, k: int, *, exclude_seen: Sequence[bool], batch: int = _BATCH
) -> list[TopK]:
    """As rank_catalogue, once for each value of exclude_seen, scoring every user only once."""
    variants: list[list[TopK]] = [[empty_lists(0, k)] for _ in exclude_seen]
    for start in range(0, history.num_users, batch):
        part = history.select_users(np.arange(start, min(start + batch, history.num_users)))
        scores, seen = model.score_catalogue(part), part.binary_matrix()
        for lists, exclude in zip(variants, exclude_seen, strict=True):
            lists.append(top_k(scores, k, seen if exclude else None))
    return [
        TopK(np.concatenate([part.items for part in lists]), np.concatenate([part.scores for part in lists]))
        for lists in variants
    ]
