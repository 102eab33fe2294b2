"""Item-to-item transition counts over all users, weighted by the gap between the events.

Sequential rules whose weight falls with the gap (SR, Ludewig & Jannach, UMUAI 2018), counted with a lower weight in the
reverse direction too, and applied to the history with a decay per step (VSKNN, ibid.).
"""

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.sequences import Sessions, StepKind, without_impressions
from tierrec_core.linalg.sparse import degrees, keep_top_k_per_row, safe_power, scale
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange


@dataclass(frozen=True)
class Transitions:
    """transition: row i holds the weights of the items that follow item i, 0 on the diagonal, [I, I]."""

    transition: sparse.csr_matrix
    config: "Transitions.Config"

    class Config(Params):
        """Events of one step are unordered, with a gap of one step; other gaps weigh gap ** -gap_exponent.

        reach: number of events to look ahead; backward: weight of the reverse direction. The exponents divide by the
        degree: of the source item, the target item, and the user's history length. The weight of the history halves
        every half_life_steps.
        """

        step: StepKind = "session"
        reach: Annotated[PositiveInt, SearchRange(5, 60, log=True)] = 20
        gap_exponent: Annotated[NonNegativeFloat, SearchRange(0.0, 1.5)] = 0.5
        backward: Annotated[float, Field(ge=0, le=1), SearchRange()] = 0.6
        user_exponent: Annotated[NonNegativeFloat, SearchRange(0.0, 0.6)] = 0.0
        source_exponent: Annotated[float, Field(ge=0, le=1), SearchRange(0.0, 0.7)] = 0.4
        target_exponent: Annotated[float, Field(ge=0, le=1), SearchRange(0.0, 0.6)] = 0.4
        half_life_steps: Annotated[PositiveFloat, SearchRange(0.5, 6.0, log=True)] = 2.0
        neighbours: PositiveInt = 500

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Count, normalize and prune. Time and memory grow with events times reach."""
        history = without_impressions(training.history)
        counts = _count_transitions(history, config)
        num_events = np.bincount(history.item, minlength=history.num_items).astype(np.float64)
        outgoing, _ = degrees(counts)
        normalized = scale(
            counts,
            rows=safe_power(outgoing + 1.0, -config.source_exponent),
            columns=safe_power(num_events + 1.0, -config.target_exponent),
        )
        return cls(keep_top_k_per_row(normalized, config.neighbours), config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Sum of the transition weights from the seen items, newest steps weighted most, [U, I]."""
        return np.asarray((self._recent(history) @ self.transition).toarray(), np.float32)

    def _recent(self, history: Interactions) -> sparse.csr_matrix:
        """Sum of the event weights: 1 in the last step, decayed by step before it, [U, I]."""
        history = without_impressions(history)
        steps = Sessions.of(history, self.config.step)
        later = steps.user_offsets[1:][history.user] - 1 - steps.of_event
        return history.matrix(np.exp2(-later / self.config.half_life_steps))


def _count_transitions(history: Interactions, config: Transitions.Config) -> sparse.csr_matrix:
    """Weighted counts of j after i, plus `backward` times those of j before i, [I, I]."""
    step = Sessions.of(history, config.step).of_event
    length = np.bincount(history.user, minlength=history.num_users)
    weight = safe_power(length.astype(np.float64), -config.user_exponent)[history.user]
    shape = (history.num_items, history.num_items)
    forward, same_step = (sparse.csr_matrix(shape, dtype=np.float32), sparse.csr_matrix(shape, dtype=np.float32))
    for lag in range(1, min(config.reach, int(length.max(initial=1)) - 1) + 1):
        same_user = history.user[:-lag] == history.user[lag:]
        gap = (step[lag:] - step[:-lag])[same_user]
        value = weight[lag:][same_user] * np.maximum(gap, 1.0) ** -config.gap_exponent
        pair = history.item[:-lag][same_user], history.item[lag:][same_user]
        ordered = gap > 0
        forward += _sum_pairs(value, pair, ordered, shape)
        same_step += _sum_pairs(value, pair, ~ordered, shape)
    counts = (forward + config.backward * forward.T + same_step + same_step.T).tocsr()
    counts.setdiag(0.0)
    counts.eliminate_zeros()
    return counts


def _sum_pairs(
    value: FloatArray, pair: tuple[IntArray, IntArray], mask: BoolArray, shape: tuple[int, int]
) -> sparse.csr_matrix:
    row, column = pair
    return sparse.coo_matrix((value[mask].astype(np.float32), (row[mask], column[mask])), shape).tocsr()
