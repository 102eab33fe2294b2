"""Simulated conversions of the lists shown in a replay, by a position-based click model."""

from dataclasses import dataclass

import numpy as np

from monitoring.drift import OnlineMetrics
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class SimulatedOutcomes:
    """One list per user, and whether it converted.

    users: index of each user, sorted, [E]; converted: [E]
    """

    users: IntArray
    converted: BoolArray

    @property
    def rate(self) -> float:
        """Conversions per list."""
        return float(self.converted.mean()) if len(self.converted) else 0.0


def simulate_outcomes(users: IntArray, hits: BoolArray, num_users: int, seed: tuple[int, ...]) -> SimulatedOutcomes:
    """Simulate the conversion of lists whose items are in the user's ground truth where hits [E, k] is true.

    A user examines rank r with probability 1 / log2(r + 1) and converts on an examined hit. The examination depth
    depends on seed and user only, so that two models are compared on the same depths.
    """
    examined: FloatArray = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    depth = np.random.default_rng(seed).random(num_users)[users]
    converted: BoolArray = (hits & (depth[:, None] < examined)).max(axis=1, initial=False)
    return SimulatedOutcomes(users, converted)


def compare_outcomes(version: str, before: SimulatedOutcomes, after: SimulatedOutcomes) -> OnlineMetrics:
    """The version's outcomes in two windows, over the users with a list in both."""
    common, first, second = np.intersect1d(before.users, after.users, return_indices=True)
    shown = np.ones((1, len(common)), np.int64)
    converted = [part[None, :].astype(np.int64) for part in (before.converted[first], after.converted[second])]
    return OnlineMetrics((version,), shown, converted[0], shown, converted[1])
