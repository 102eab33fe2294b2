"""What a model is: fitted from a Training, then asked to score histories. A model is fitted or does not exist."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import Params
from tierrec_core.tiers import Tiering


@dataclass(frozen=True)
class Training:
    """All that a model may learn from, as of one moment.

    history: every training event before `history.now`; its items are the catalogue, [I]
    items: the ITEMS frame, row i describes history.items[i], [I]
    tiering: activity tiers and interest layers, fitted on the same history
    target: names of the events that count as success, usually just purchase
    seed: the one seed of params.yaml
    """

    history: Interactions
    items: pd.DataFrame
    tiering: Tiering
    target: tuple[str, ...]
    seed: int

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator: the same at each call, so that a fit never depends on who drew before it."""
        return np.random.default_rng(self.seed)


class Recommender(Protocol):
    """A frozen, fitted model with its Config beside it."""

    Config: ClassVar[type[Params]]

    @classmethod
    def fit(cls, training: Training, config: Any) -> Self:
        """Learn from the training; config is an instance of cls.Config."""
        ...


@runtime_checkable
class Retriever(Recommender, Protocol):
    """Scores the whole catalogue."""

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Scores of every item for every history, [U, I] float32; higher is better, -inf is never."""
        ...


@runtime_checkable
class Ranker(Recommender, Protocol):
    """Scores given candidates, for what would be too slow over the catalogue."""

    def score_candidates(self, history: Interactions, candidates: IntArray) -> FloatArray:
        """Scores of the candidate columns, [U, C] -> [U, C] float32; a candidate of -1 is padding."""
        ...


@runtime_checkable
class EncodedScorer(Recommender, Protocol):
    """Scores given candidates of a history that is encoded already, without the rest of the catalogue.

    What `encode` makes of a history can be kept, so that a known user costs only the second step.
    """

    def encode(self, history: Interactions) -> FloatArray:
        """All that scoring needs of each history beyond the history itself, [U, S]; S may be 0."""
        ...

    def score_encoded(self, history: Interactions, state: FloatArray, candidates: IntArray, /) -> FloatArray:
        """Scores of the candidate columns [U, C] given the histories' states [U, S], [U, C] float32.

        They are those of score_catalogue or score_candidates up to rounding; a candidate of -1 is padding and
        scores -inf.
        """
        ...
