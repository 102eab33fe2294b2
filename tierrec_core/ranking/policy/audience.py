"""The users of one batch of lists: histories, tiers and interests."""

from dataclasses import dataclass

import numpy as np

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.tiers import Tiering

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIXERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class Audience:
    """The U users for whom lists are made at once.

    history: what each met; tier: of each, [U]; tiering: what knows the layers
    """

    history: Interactions
    tier: IntArray
    tiering: Tiering

    def met(self, items: IntArray) -> BoolArray:
        """Whether each user met each item of their row before, for columns [U, K] with -1 as padding."""
        size = self.history.num_items
        asked = np.arange(len(items))[:, None] * size + items.astype(np.int64)
        known = self.history.user.astype(np.int64) * size + self.history.item
        found: BoolArray = np.isin(asked, known) & (items >= 0)
        return found

    def interests(self) -> FloatArray:
        """P_u: the share of each layer in what a user did, [U, J]."""
        return self.tiering.interests_of(self.history)

    def layer(self, items: IntArray) -> IntArray:
        """The layer of each item by what it is, -1 for padding, [U, K]."""
        return np.where(items >= 0, self.tiering.layers.content[items], -1)

    def lots(self, items: IntArray, seed: int) -> FloatArray:
        """A lot in [0, 1) for each user and item [U, K]: the same for the same history, item and seed.

        A hash (SplitMix64, Steele et al., 2014) and no generator, so that neither the other users of a batch nor
        the order of the candidates matters.
        """
        mark = np.full(self.history.num_users, seed, np.uint64)
        np.add.at(mark, self.history.user, _mixed(self.history.item.astype(np.uint64)))
        drawn = _mixed(mark[:, None] + _mixed(items.astype(np.int64).astype(np.uint64)))
        lots: FloatArray = (drawn >> np.uint64(11)).astype(float) / 2.0**53
        return lots


def _mixed(values: IntArray) -> IntArray:
    """SplitMix64's finaliser of uint64 values, which wraps around."""
    values = values + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * _MIXERS[0]
    values = (values ^ (values >> np.uint64(27))) * _MIXERS[1]
    return values ^ (values >> np.uint64(31))
