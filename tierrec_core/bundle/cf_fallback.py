"""Collaborative factors for the fallback strategies, from the first model that has them, else by PureSVD."""

from collections.abc import Callable, Mapping

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.sparse import weighted_history
from tierrec_core.protocols.model import EncodedScorer, Recommender

EncodeUsers = Callable[[Interactions], FloatArray]

_RANK = 64


def find_factors(models: Mapping[str, Recommender], history: Interactions) -> tuple[FloatArray, EncodeUsers]:
    """Item factors [I, F] and a function from histories to user factors [U, F].

    They are those of the first model with `item_factors`, or of PureSVD where no model has any.
    """
    for model in models.values():
        factors = getattr(model, "item_factors", None)
        if isinstance(factors, np.ndarray) and isinstance(model, EncodedScorer):
            return factors, model.encode_users
    return _pure_svd(history)


def _pure_svd(history: Interactions) -> tuple[FloatArray, EncodeUsers]:
    """PureSVD (Cremonesi et al., RecSys 2010): a user is the weighted sum of the factors of the seen items."""
    rank = max(1, min(_RANK, history.num_items - 1, history.num_users - 1))
    svd = TruncatedSVD(rank, random_state=0).fit(normalize(weighted_history(history, "log_count")))
    item_factors: FloatArray = np.ascontiguousarray(svd.components_.T, dtype=np.float32)

    def encode_users(histories: Interactions) -> FloatArray:
        return np.asarray(normalize(weighted_history(histories, "log_count")) @ item_factors, np.float32)

    return item_factors, encode_users
