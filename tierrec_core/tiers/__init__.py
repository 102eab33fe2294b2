"""Activity tiers of users and interest layers of items, fitted together as one Tiering."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import TierSettings
from tierrec_core.tiers.activity import TIER_NAMES, ActivityTiers
from tierrec_core.tiers.interest_layers import InterestLayers

__all__ = ["TIER_NAMES", "Tiering"]


@dataclass(frozen=True)
class Tiering:
    """Activity tiers and interest layers, fitted on one history and applied to any.

    tier: tier of each training user, index into names, [U]
    interests: P_u of each training user, rows sum to 1, [U, J]
    names: of the tiers, by ascending activity, [T]
    """

    tier: IntArray
    interests: FloatArray
    activity: ActivityTiers
    layers: InterestLayers
    names: tuple[str, ...]

    @classmethod
    def fit(cls, history: Interactions, items: pd.DataFrame, settings: TierSettings, seed: int) -> Self:
        """Fit both on the events before `history.now`; ITEMS row i describes column i."""
        rng = np.random.default_rng(seed)
        activity = ActivityTiers.fit(history, settings, rng)
        layers = InterestLayers.fit(history, items, settings.num_layers, rng)
        return cls(activity.assign(history), layers.interests(history), activity, layers, settings.names)

    @cached_property
    def item_layer(self) -> IntArray:
        """The layer of highest lift of each item, [I]."""
        return np.asarray(self.layers.lift.argmax(axis=1), np.int32)

    def assign(self, history: Interactions, previous: IntArray | None = None) -> IntArray:
        """Tier of each history as of its `now`, index into names, [U]."""
        return self.activity.assign(history, previous)

    def interests_of(self, history: Interactions) -> FloatArray:
        """P_u of each history, [U, J]; rows sum to 1."""
        return self.layers.interests(history)
