"""Transitions: what follows what, and how soon after, counted over all users.

Sequential rules with a weight that falls with the gap (Ludewig & Jannach, UMUAI 2018: SR), counted a little in the
other direction too, and asked from the whole history with a decay by step (VSKNN, ibid.) instead of from its end.
"""

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.sequences import Sessions, StepKind, chosen
from tierrec_core.linalg.candidate_scores import mask_padding
from tierrec_core.linalg.sparse import degrees, keep_top_k_per_row, safe_power, scale
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange


@dataclass(frozen=True)
class Transitions:
    """follow: row i holds what having met item i says of what comes next, 0 on the diagonal, [I, I]"""

    follow: sparse.csr_matrix
    config: "Transitions.Config"

    class Config(Params):
        """Events of one step have no order and a gap of one step; others weigh gap ** -gap_exponent.

        reach is how many events ahead are looked at; backward is what the wrong direction counts for. source_exponent
        makes an item doubtful after which much comes, target_exponent one that comes after everything, and
        user_exponent users with long histories. The history fades by half in half_life_steps.
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
        """Count, normalise and keep the strongest. Time and memory grow with the events times the reach."""
        history = chosen(training.history)
        counted = _counted(history, config)
        met = np.bincount(history.item, minlength=history.num_items).astype(np.float64)
        leaving, _ = degrees(counted)
        known = scale(
            counted,
            rows=safe_power(leaving + 1.0, -config.source_exponent),
            columns=safe_power(met + 1.0, -config.target_exponent),
        )
        return cls(keep_top_k_per_row(known, config.neighbours), config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Sums of what each met item says of each item, the newest steps counting most, [U, I]."""
        scores: FloatArray = (self._recent(history) @ self.follow).toarray().astype(np.float32)
        return scores

    def encode_users(self, history: Interactions) -> FloatArray:
        """Nothing: the history itself is all that scoring needs, [U, 0]."""
        return np.zeros((history.num_users, 0), np.float32)

    def score_encoded(
        self, history: Interactions, _user_states: FloatArray, candidates: IntArray
    ) -> FloatArray:
        """Sums of what each met item says of each candidate, [U, C]."""
        recent, follow = self._recent(history), self.follow
        scores = np.empty(candidates.shape, np.float32)
        for row, columns in enumerate(candidates):
            span = slice(recent.indptr[row], recent.indptr[row + 1])
            said = recent[row].data[None] @ follow[recent.indices[span]]
            scores[row] = said.ravel()[columns]
        return mask_padding(scores, candidates)

    def _recent(self, history: Interactions) -> sparse.csr_matrix:
        """1 for what was met in the last step, less for what was met before, [U, I]."""
        history = chosen(history)
        steps = Sessions.of(history, self.config.step)
        later = steps.user_offsets[1:][history.user] - 1 - steps.of_event
        return history.matrix(np.exp2(-later / self.config.half_life_steps))


def _counted(history: Interactions, config: Transitions.Config) -> sparse.csr_matrix:
    """Weighted counts of j after i, and a share of those of j before i, [I, I]."""
    step = Sessions.of(history, config.step).of_event
    length = np.bincount(history.user, minlength=history.num_users)
    weight = safe_power(length.astype(np.float64), -config.user_exponent)[history.user]
    shape = (history.num_items, history.num_items)
    forward, together = sparse.csr_matrix(shape, dtype=np.float32), sparse.csr_matrix(shape, dtype=np.float32)
    for lag in range(1, min(config.reach, int(length.max(initial=1)) - 1) + 1):
        same_user = history.user[:-lag] == history.user[lag:]
        gap = (step[lag:] - step[:-lag])[same_user]
        value = weight[lag:][same_user] * np.maximum(gap, 1.0) ** -config.gap_exponent
        pair = history.item[:-lag][same_user], history.item[lag:][same_user]
        ordered = gap > 0
        forward += _summed(value, pair, ordered, shape)
        together += _summed(value, pair, ~ordered, shape)
    counted = (forward + config.backward * forward.T + together + together.T).tocsr()
    counted.setdiag(0.0)
    counted.eliminate_zeros()
    return counted


def _summed(
    value: FloatArray, pair: tuple[IntArray, IntArray], kept: BoolArray, shape: tuple[int, int]
) -> sparse.csr_matrix:
    row, column = pair
    return sparse.coo_matrix((value[kept].astype(np.float32), (row[kept], column[kept])), shape).tocsr()
