"""Activity tiers light < medium < heavy: frozen boundaries through recent behaviour, with hysteresis."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import TierSettings
from tierrec_core.tiers.clustering import Clusters
from tierrec_core.tiers.rfm import MONEY, ActivityFeatures

TIER_NAMES = TierSettings().names


@dataclass(frozen=True)
class ActivityTiers:
    """Fixed boundaries that map a history to a tier; later users do not change them.

    features: recipe of the four numbers a user is judged by
    cuts: money scores that divide the tiers, used where clusters is None, [T - 1]
    spread: standard deviation of the money score, the unit of hysteresis
    hysteresis: how far beyond a boundary a user must be to leave their previous tier, in standard deviations
    clusters: groups of users ordered by mean money score, for the methods that cluster
    """

    features: ActivityFeatures
    cuts: FloatArray
    spread: float
    hysteresis: float
    clusters: Clusters | None

    @classmethod
    def fit(cls, history: Interactions, settings: TierSettings, rng: np.random.Generator) -> Self:
        """Draw the boundaries among the users who were active in the window."""
        features = ActivityFeatures.fit(history, settings.window_days)
        return cls.from_features(features, features.of(history), settings, rng)

    @classmethod
    def from_features(
        cls, recipe: ActivityFeatures, features: FloatArray, settings: TierSettings, rng: np.random.Generator
    ) -> Self:
        """Draw the boundaries through features [U, F] that the recipe made."""
        active = features[features[:, MONEY] > 0]
        known = active if len(active) else features
        money = known[:, MONEY]
        clusters = None
        if settings.method != "quantile":
            clusters = Clusters.fit(known, settings.method, len(settings.names), rng)
        return cls(recipe, np.quantile(money, settings.quantiles), float(money.std()), settings.hysteresis, clusters)

    def assign(self, history: Interactions, previous: IntArray | None = None) -> IntArray:
        """Tier of each user as of `history.now`, index into the tiers' names, [U].

        With the previous tiers [U], a user stays until they are clearly beyond the boundary; -1 = had none.
        """
        return self.assign_features(self.features.of(history), previous)

    def assign_features(self, features: FloatArray, previous: IntArray | None = None) -> IntArray:
        """The same from features [U, F]."""
        if self.clusters is not None:
            return self.clusters.assign(features, previous, self.hysteresis)
        cuts = np.broadcast_to(self.cuts, (len(features), len(self.cuts)))
        if previous is not None:
            above = previous[:, None] > np.arange(len(self.cuts))
            shift = np.where(above, -1.0, 1.0) * (previous[:, None] >= 0)
            cuts = cuts + shift * self.hysteresis * self.spread
        tiers: IntArray = (features[:, [MONEY]] > cuts).sum(axis=1).astype(np.int8)
        return tiers
