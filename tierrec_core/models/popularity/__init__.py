"""Popularity within the last weeks, the baseline of every other model."""

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import PositiveFloat

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange


@dataclass(frozen=True)
class Popularity:
    """One list for all users.

    share: of the target events in the window, [I]
    """

    share: FloatArray

    class Config(Params):
        """window_days: length of the counted period; raise it for a small shop."""

        window_days: Annotated[PositiveFloat, SearchRange(1.0, 200.0, log=True)] = 14.0

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Count the target events of users and guests in the window."""
        count = np.zeros(training.history.num_items)
        for log in [training.history] + ([] if training.guests is None else [training.guests]):
            targets = log.filter_events(*training.target)
            count += np.bincount(targets.item[targets.age <= config.window_days], minlength=len(count))
        return cls((count / max(count.sum(), 1)).astype(np.float32))

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Each item's share of all events, [U, I]."""
        return np.tile(self.share, (history.num_users, 1))
