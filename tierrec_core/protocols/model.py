"""Model interfaces: a model is fitted from a `Training` and scores histories; there are no unfitted models."""

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
    """Training data of a model as of one snapshot.

    history: training events before `history.now`; its items are the catalogue, [I]
    items: the ITEMS frame, row i describes history.items[i], [I]
    tiering: activity tiers and interest layers, fitted on the same history
    target: names of the events that count as success, usually only purchase
    seed: the seed of params.yaml
    guests: earlier events of people who are no users, for models that count events of items
    """

    history: Interactions
    items: pd.DataFrame
    tiering: Tiering
    target: tuple[str, ...]
    seed: int
    guests: Interactions | None = None

    @property
    def rng(self) -> np.random.Generator:
        """A new generator with the same state at each access, so that fits do not influence one another."""
        return np.random.default_rng(self.seed)


class Recommender(Protocol):
    """A frozen, fitted model with its Config."""

    Config: ClassVar[type[Params]]

    @classmethod
    def fit(cls, training: Training, config: Any) -> Self:
        """Fit the model; config is an instance of cls.Config."""


@runtime_checkable
class Retriever(Recommender, Protocol):
    """Scores the whole catalogue."""

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Score every item for every history, [U, I] float32; higher is better, -inf is never recommended."""


@runtime_checkable
class Ranker(Recommender, Protocol):
    """Scores given candidates; for models that are too slow to score the catalogue."""

    def score_candidates(self, history: Interactions, candidates: IntArray) -> FloatArray:
        """Score the candidate columns, [U, C] -> [U, C] float32; a candidate of -1 is padding."""


@runtime_checkable
class EncodedScorer(Recommender, Protocol):
    """Encodes a user's history, then scores given candidates from the encoding without the rest of the catalogue.

    The encoding can be stored, so that a request for a known user only runs the second step.
    """

    def encode_users(self, history: Interactions) -> FloatArray:
        """User states: all that scoring needs beyond the history itself, [U, S]; S may be 0."""

    def score_encoded(self, history: Interactions, user_states: FloatArray, candidates: IntArray, /) -> FloatArray:
        """Score the candidate columns [U, C] given the histories' user states [U, S], [U, C] float32.

        Equal to score_catalogue or score_candidates up to rounding; a candidate of -1 is padding and scores -inf.
        """
