"""Training examples from past snapshots: user state and the events that followed."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.sequences import chosen
from tierrec_core.features.user_item import user_features
from tierrec_core.protocols.model import Training

_LEAST_STEP = 1e-6


@dataclass(frozen=True)
class SnapshotExamples:
    """L users as of past snapshots, with the events before and after.

    user: row of each user; now: time of the snapshot; until, last: events until:last of the history are the targets
    dense: features of the user at that time, [L, P]
    """

    history: Interactions
    user: IntArray
    now: FloatArray
    until: IntArray
    last: IntArray
    dense: FloatArray

    @classmethod
    def of(cls, training: Training, cuts: int, step_days: float, horizon_days: float) -> Self:
        """All users with events in the horizon after a snapshot; the newest is a step before the last event."""
        history = chosen(training.history)
        oldest, newest = float(history.day.min()), float(np.nextafter(history.day.max(), np.inf))
        step = max(min(step_days, (newest - oldest) / 2), _LEAST_STEP)
        moments = newest - step * np.arange(1, cuts + 1)
        moments = moments[moments > min(oldest, moments[0] - _LEAST_STEP)]
        parts = [cls._at(training, history, cut, horizon_days) for cut in moments]
        together = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return cls(history, *together)

    @classmethod
    def _at(
        cls, training: Training, history: Interactions, cut: float, horizon: float
    ) -> tuple[IntArray, FloatArray, IntArray, IntArray, FloatArray]:
        """The examples of one snapshot."""
        dense = user_features(training.history.before(cut), training.tiering)
        until = history.offsets[:-1] + np.bincount(history.user[history.day < cut], minlength=history.num_users)
        taken = history.user[(history.day >= cut) & (history.day < cut + horizon)]
        last = until + np.bincount(taken, minlength=history.num_users)
        user = np.flatnonzero(last > until)
        return user, np.full(len(user), cut), until[user], last[user], dense[user]
