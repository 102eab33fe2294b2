"""Collaborative factors for the rungs below the blend, from whichever model has them."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import EncodedScorer, Recommender

Encode = Callable[[Interactions], FloatArray]
_RANK = 64


def factors_of(models: Mapping[str, Recommender], history: Interactions) -> tuple[FloatArray, Encode]:
    """Item factors [I, F] and what turns histories into user factors [U, F].

    The first model with `item_factors` lends its own; without one, a truncated SVD of the log of counts is taken.
    """
    for model in models.values():
        found = getattr(model, "item_factors", None)
        if isinstance(found, np.ndarray) and isinstance(model, EncodedScorer):
            return found, model.encode_users
    return _decomposed(history)


def _decomposed(history: Interactions) -> tuple[FloatArray, Encode]:
    """PureSVD (Cremonesi et al., RecSys 2010): a user is the sum of the factors of what they met."""
    rank = max(1, min(_RANK, history.num_items - 1, history.num_users - 1))
    svd = TruncatedSVD(rank, random_state=0).fit(normalize(_counts(history)))
    items: FloatArray = np.ascontiguousarray(svd.components_.T, dtype=np.float32)

    def encode(histories: Interactions) -> FloatArray:
        users: FloatArray = np.asarray(normalize(_counts(histories)) @ items, dtype=np.float32)
        return users

    return items, encode


def _counts(history: Interactions) -> sparse.csr_matrix:
    matrix = history.matrix()
    matrix.data = np.log1p(matrix.data)
    return matrix
