"""How campaigns stand at a moment: who redeemed them, and what those people like; a new one stands like its type."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.tiers import Tiering

_PRIOR_REDEEMERS = 10.0  # of the wider group, whose interests a campaign or type is taken to share


@dataclass(frozen=True)
class CampaignStats:
    """Sums over each campaign's redeemers; rates and profiles are shrunk towards the type's, and these towards all.

    types: the type of each campaign, [C]
    redeemers: distinct users who redeemed it, [C]
    interest: sum of their interests P_u, [C, J]
    last_day: when it was last redeemed, in days since 1970 UTC, -inf where never, [C]
    share: everybody's interests, [J]
    num_users: users who were known
    """

    types: pd.Index
    redeemers: FloatArray
    interest: FloatArray
    last_day: FloatArray
    share: FloatArray
    num_users: int

    @classmethod
    def measure(cls, types: pd.Index, history: Interactions, redemptions: Interactions, tiering: Tiering) -> Self:
        """As of `history.now`; redemptions have the rows of history and a column a campaign, [U, C]."""
        met = redemptions.binary_matrix()
        last_day = np.full(len(types), -np.inf)
        np.maximum.at(last_day, redemptions.item, redemptions.day)
        return cls(
            types=types,
            redeemers=np.asarray(met.sum(axis=0), float).ravel(),
            interest=np.asarray(met.T @ tiering.interests_of(history), float),
            last_day=last_day,
            share=tiering.layers.share,
            num_users=int((np.diff(history.offsets) > 0).sum()),
        )

    def extended(self, types: pd.Index) -> Self:
        """With further campaigns of these types, which nobody has redeemed."""
        more = len(types)
        return type(self)(
            types=self.types.append(types),
            redeemers=np.append(self.redeemers, np.zeros(more)),
            interest=np.vstack([self.interest, np.zeros((more, len(self.share)))]),
            last_day=np.append(self.last_day, np.full(more, -np.inf)),
            share=self.share,
            num_users=self.num_users,
        )

    @cached_property
    def type_code(self) -> IntArray:
        """The number of each campaign's type, [C]."""
        return pd.factorize(self.types)[0]

    @cached_property
    def log_type_rate(self) -> FloatArray:
        """Log share of users who redeem one campaign of the same type, [C].

        Shrunk towards the mean of all campaigns by the weight of one campaign; those without a redeemer do not count.
        """
        seen = self.redeemers > 0
        usual = (self.redeemers.sum() + 1.0) / (seen.sum() + 1.0)
        redeemers = np.bincount(self.type_code, self.redeemers) + usual
        campaigns = np.bincount(self.type_code, seen) + 1.0
        rate: FloatArray = np.log(redeemers / campaigns / max(self.num_users, 1))
        return rate[self.type_code]

    @cached_property
    def profile(self) -> FloatArray:
        """Interests of those who redeem each campaign, rows sum to 1, [C, J]."""
        onto = (np.arange(self.type_code.max(initial=-1) + 1)[:, None] == self.type_code) * 1.0
        everybody = _drawn(self.interest.sum(axis=0), self.redeemers.sum(), self.share)
        by_type = _drawn(onto @ self.interest, onto @ self.redeemers, everybody)
        return _drawn(self.interest, self.redeemers, by_type[self.type_code])

    def affinity(self, interests: FloatArray, campaign: IntArray) -> FloatArray:
        """How well interests [U, J] fit the profile of each chosen campaign [L], beside everybody's, [U, L].

        1 where a user is like everybody or the campaign is for everybody, higher where they share a taste.
        """
        fit: FloatArray = (interests / self.share) @ self.profile[campaign].T
        return fit


def _drawn(total: FloatArray, count: FloatArray | float, wider: FloatArray) -> FloatArray:
    """The mean of a group from its sum and size, shrunk towards that of the wider group."""
    size = np.asarray(count, float)[..., None] + _PRIOR_REDEEMERS
    mean: FloatArray = (total + _PRIOR_REDEEMERS * wider) / size
    return mean
