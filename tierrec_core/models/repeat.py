"""TIFU-KNN with recency: people buy again what they bought lately and often (Hu et al., SIGIR 2020).

The paper groups baskets and decays within and across groups; decay in continuous time says the same with one knob.
"""

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt
from scipy import sparse

from tierrec_core.contracts import FloatArray
from tierrec_core.interactions import Interactions
from tierrec_core.neighbours import nearest
from tierrec_core.protocol import Training
from tierrec_core.settings import Params


@dataclass(frozen=True)
class Repeat:
    """A user's decayed frequencies, mixed with those of their nearest neighbours.

    frequency: decayed counts of the training users, [V, I]
    target: names of the events that are counted; a view is no purchase
    """

    frequency: sparse.csr_matrix
    target: tuple[str, ...]
    config: "Repeat.Config"

    class Config(Params):
        """own_share is the weight of the user's own frequencies; the rest is the neighbours' mean."""

        half_life: PositiveFloat = 90.0
        neighbours: PositiveInt = 300
        own_share: Annotated[float, Field(ge=0, le=1)] = 0.7

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Keep every training user's decayed counts."""
        history = training.history.only(*training.target)
        return cls(history.decayed(config.half_life), training.target, config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Expected frequency of each item, [U, I]."""
        own = history.only(*self.target).decayed(self.config.half_life)
        weight = nearest(own, self.frequency, self.config.neighbours)
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
        share = self.config.own_share
        peers = (self.frequency.T @ weight.T).T
        scores: FloatArray = (1.0 - share) * peers
        user = np.repeat(np.arange(own.shape[0]), np.diff(own.indptr))
        scores[user, own.indices] += share * own.data
        return scores.astype(np.float32)
