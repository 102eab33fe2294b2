"""User-based k nearest neighbours weighted by interest layers, after the reference article's CF formula.

score(u, i) = sum over v of alpha_uv P_v,j(i) R_vi / sum over v of alpha_uv, where alpha_uv is the similarity of two
users, j(i) the layer of item i, P_v,j the interest of v in that layer, and R_vi the events of v with i. The article
gives alpha one index and no normalizer; with both it is user-kNN (Herlocker et al., SIGIR 1999) that weights
a neighbour by its interest in the item's layer.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.candidate_scores import mask_padding, sparse_products
from tierrec_core.linalg.cosine import neighbour_weights, normalized_transpose
from tierrec_core.linalg.sparse import weighted_history
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange


@dataclass(frozen=True)
class TierKnn:
    """Training users' behaviour, plain and weighted by their interest in the item's layer.

    behaviour: R, log of 1 + decayed counts, [V, I]
    weighted: P_v,j(i) R_vi, [V, I]
    """

    behaviour: sparse.csr_matrix
    weighted: sparse.csr_matrix
    config: "TierKnn.Config"

    class Config(Params):
        """interest_power: 0 ignores the layers, 1 is the article's formula."""

        half_life: Annotated[PositiveFloat, SearchRange(7.0, 365.0, log=True)] = 180.0
        neighbours: Annotated[PositiveInt, SearchRange(30, 1000, log=True)] = 200
        interest_power: Annotated[float, Field(ge=0, le=2), SearchRange(0.0, 2.0)] = 0.5

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Weight every training user's behaviour by their interests."""
        behaviour = weighted_history(training.history, "log_decayed", config.half_life)
        user = np.repeat(np.arange(behaviour.shape[0]), np.diff(behaviour.indptr))
        layer = training.tiering.item_layer[behaviour.indices]
        interest = training.tiering.interests[user, layer] ** config.interest_power
        weighted = behaviour.copy()
        weighted.data = (behaviour.data * interest).astype(np.float32)
        return cls(behaviour, weighted, config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Weighted mean over the neighbours, [U, I]."""
        return np.asarray((self.weighted.T @ self.encode_users(history).T).T, np.float32)

    def encode_users(self, history: Interactions) -> FloatArray:
        """Weight of each training user as a neighbour, [U, V]; rows sum to 1, or to 0 without neighbours."""
        behaviour = weighted_history(history, "log_decayed", self.config.half_life)
        return neighbour_weights(behaviour, self._corpus, self.config.neighbours)

    def score_encoded(self, _history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Weighted mean over the neighbours for each candidate, [U, C]."""
        return mask_padding(sparse_products(user_states, self._weighted_by_item, candidates), candidates)

    @cached_property
    def _corpus(self) -> sparse.csr_matrix:
        return normalized_transpose(self.behaviour)

    @cached_property
    def _weighted_by_item(self) -> sparse.csr_matrix:
        return self.weighted.T.tocsr()
