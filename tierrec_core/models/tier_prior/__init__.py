"""Popularity within the user's tier.

The reference article's final formula, R_u = sum over v of alpha_v P_v, does not depend on u: it weights all users'
behaviour by tier and is the same for all users of a tier, so it serves as a prior for users with little history. Counts
of a tier are smoothed towards those of all users by a Dirichlet prior (Zhai & Lafferty, TOIS 2004).
"""

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import PositiveFloat

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange
from tierrec_core.tiers import Tiering


@dataclass(frozen=True)
class TierPrior:
    """One list per tier.

    probability: of each item among the target events of a tier's users, [3, I]
    """

    probability: FloatArray
    tiering: Tiering

    class Config(Params):
        """strength: weight of the prior from all users, in events of a tier."""

        window_days: Annotated[PositiveFloat, SearchRange(1.0, 200.0, log=True)] = 28.0
        strength: Annotated[PositiveFloat, SearchRange(10.0, 1e5, log=True)] = 2000.0

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Count each tier's target events of the window, and smooth."""
        history = training.history.filter_events(*training.target)
        recent = history.where(history.age <= config.window_days)
        tier = training.tiering.tier[recent.user]
        count = np.zeros((len(training.tiering.names), history.num_items))
        np.add.at(count, (tier, recent.item), 1.0)
        overall = (count.sum(axis=0) + 1e-3) / (count.sum() + 1e-3 * history.num_items)
        smoothed = (count + config.strength * overall) / (count.sum(axis=1, keepdims=True) + config.strength)
        return cls(smoothed.astype(np.float32), training.tiering)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Each item's probability in the history's tier, [U, I]."""
        return self.probability[self.tiering.assign(history)]
