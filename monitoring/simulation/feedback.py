"""What users make of the lists that a replay shows them: they accept what they are known to have wanted."""

from dataclasses import dataclass

import numpy as np

from monitoring.drift import OnlineMetrics
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class SimulatedOutcomes:
    """One list a user, and whether it converted.

    users: row of each user, sorted, [E]; converted: [E]
    """

    users: IntArray
    converted: BoolArray

    @property
    def rate(self) -> float:
        """Conversions a list."""
        return float(self.converted.mean()) if len(self.converted) else 0.0


def outcomes(users: IntArray, hits: BoolArray, num_users: int, seed: tuple[int, ...]) -> SimulatedOutcomes:
    """Show lists whose items the users came for where hits [E, k] is true.

    A user looks at rank r with probability 1 / log2(r + 1), and takes what they see and came for. The same seed and
    user look as deep, whatever they are shown, so that two models are compared by their lists alone.
    """
    chance: FloatArray = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    depth = np.random.default_rng(seed).random(num_users)[users]
    converted: BoolArray = (hits & (depth[:, None] < chance)).max(axis=1, initial=False)
    return SimulatedOutcomes(users, converted)


def compared(version: str, before: SimulatedOutcomes, after: SimulatedOutcomes) -> OnlineMetrics:
    """The same version's outcomes in two windows, over the users who saw a list in both."""
    common, first, second = np.intersect1d(before.users, after.users, return_indices=True)
    shown = np.ones((1, len(common)), np.int64)
    converted = [
        part[None, :].astype(np.int64) for part in (before.converted[first], after.converted[second])
    ]
    return OnlineMetrics((version,), shown, converted[0], shown, converted[1])
