"""The users of one batch of lists: histories, tiers and interests."""

from dataclasses import dataclass

import numpy as np

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.tiers import Tiering


@dataclass(frozen=True)
class Audience:
    """The U users of one batch of lists; tier: of each, [U]."""

    history: Interactions
    tier: IntArray
    tiering: Tiering

    def seen(self, items: IntArray) -> BoolArray:
        """Whether each user's history has each item of the row, for columns [U, K] with -1 as padding."""
        num_items = self.history.num_items
        pair = np.arange(len(items))[:, None] * num_items + items.astype(np.int64)
        seen: BoolArray = np.isin(pair, self.history.user.astype(np.int64) * num_items + self.history.item)
        return seen & (items >= 0)

    def interests(self) -> FloatArray:
        """P_u: the share of each interest layer in the user's history, [U, J]."""
        return self.tiering.interests_of(self.history)

    def layer(self, items: IntArray) -> IntArray:
        """The interest layer of each item by its content, -1 for padding, [U, K]."""
        return np.where(items >= 0, self.tiering.layers.content[items], -1)

    def draws(self, items: IntArray, seed: int) -> FloatArray:
        """A random number in [0, 1) for each user and item [U, K]: the same for the same history, item and seed.

        It is a hash (SplitMix64, Steele et al., 2014), so that neither the other users of a batch nor the order of the
        candidates matters.
        """
        user_hash = np.full(self.history.num_users, seed, np.uint64)
        np.add.at(user_hash, self.history.user, _split_mix(self.history.item.astype(np.uint64)))
        mixed = _split_mix(user_hash[:, None] + _split_mix(items.astype(np.int64).astype(np.uint64)))
        draws: FloatArray = (mixed >> np.uint64(11)).astype(float) / 2.0**53
        return draws


def _split_mix(values: IntArray) -> IntArray:
    """SplitMix64's finaliser of uint64 values, which wraps around."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
