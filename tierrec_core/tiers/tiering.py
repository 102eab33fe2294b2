"""One Tiering: which tier each user is in, which layers interest them, which layer each item belongs to."""

from dataclasses import dataclass
from typing import Self

import pandas as pd

from tierrec_core.contracts import FloatArray, IntArray
from tierrec_core.interactions import Interactions
from tierrec_core.settings import Tiers

TIER_NAMES = ("light", "medium", "heavy")


@dataclass(frozen=True)
class Tiering:
    """(to be filled in)

    tier: tier of each training user, index into TIER_NAMES, [U]
    interests: P_u of each training user, rows sum to 1, [U, J]
    item_lift: Q_i: lift of the item among users interested in each layer, [I, J]
    item_layer: argmax of item_lift, [I]
    layer_names: readable names of layers, [J]
    """

    tier: IntArray
    interests: FloatArray
    item_lift: FloatArray
    item_layer: IntArray
    layer_names: tuple[str, ...]

    @classmethod
    def fit(cls, history: Interactions, items: pd.DataFrame, settings: Tiers, seed: int) -> Self: ...

    def assign(self, history: Interactions) -> IntArray: ...

    def interests_of(self, history: Interactions) -> FloatArray: ...
