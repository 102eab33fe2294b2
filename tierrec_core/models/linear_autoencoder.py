"""A linear item-item autoencoder that knows degrees: EASE on a normalised graph, in closed form.

Users and items have their degrees divided out to exponents of their own before the fit, and preference for known
items is put back after it (Park et al., SIGIR 2025); an item's own weight is also held back by how often it is met,
as if entries were dropped at random (EDLAE, Steck, NeurIPS 2020). With exponents and dropout of 0 it is EASE (Steck,
WWW 2019). The smaller of users and items is inverted, as in `ease`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat
from scipy import sparse

from tierrec_core.contracts import FloatArray, IntArray
from tierrec_core.gram import inverted, projected_at
from tierrec_core.interactions import Interactions
from tierrec_core.products import or_never, sparse_products
from tierrec_core.protocol import Training
from tierrec_core.settings import Params, Span
from tierrec_core.weighting import Values, behaviour, degrees, entries, power, scaled

Exponent = Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True)
class LinearAutoencoder:
    """Scores X D^-t B D^t, where B = I - P diag(1 / diag P), P = (N'N + L)^-1 and L is diagonal; t is the tilt.

    inverse: P [I, I] where there are more users than items, else (W W' + 1)^-1 with W = N L^-1/2, [V, V]
    diagonal: of P, [I]
    graph: W, what the dual form needs of the training users, [V, I]; None in the primal form
    pull: L^-1/2, [I]
    degree: D, how well each item is known, [I]
    """

    inverse: FloatArray
    diagonal: FloatArray
    graph: sparse.csr_matrix | None
    pull: FloatArray
    degree: FloatArray
    config: "LinearAutoencoder.Config"

    class Config(Params):
        """l2 pulls weights to zero, in units of the mean diagonal of N'N; dropout pulls by the item's own diagonal.

        user_exponent, item_exponent: how far degrees are divided out of N
        tilt: how far known items are preferred; items are divided out of a history and multiplied into its scores
        """

        values: Values = "log_count"
        half_life: Annotated[PositiveFloat, Span(7.0, 365.0, log=True)] = 60.0
        l2: Annotated[PositiveFloat, Span(0.1, 100.0, log=True)] = 2.0
        dropout: Annotated[NonNegativeFloat, Span()] = 0.5
        user_exponent: Annotated[Exponent, Span(0.0, 0.6)] = 0.3
        item_exponent: Annotated[Exponent, Span(0.0, 0.5)] = 0.15
        tilt: Annotated[Exponent, Span(-0.3, 0.5)] = 0.0

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Solve for the weights. Time grows with the cube of the smaller side, memory with its square."""
        met = behaviour(training.history, config.values, config.half_life)
        users, items = degrees(met)
        graph = scaled(met, power(users, -config.user_exponent), power(items, -config.item_exponent))
        own = degrees(graph.multiply(graph).tocsr())[1]
        pull = 1.0 / np.sqrt(config.l2 * max(own.mean(), 1e-12) + config.dropout * own)
        graph = scaled(graph, columns=pull)
        num_users, num_items = graph.shape
        if num_items <= num_users:
            inverse = inverted((graph.T @ graph).toarray(), 1.0) * np.outer(pull, pull)
            diagonal, kept = inverse.diagonal(), None
        else:
            inverse = inverted((graph @ graph.T).toarray(), 1.0)
            projected = np.asarray(graph.multiply(inverse @ graph).sum(axis=0)).ravel()
            diagonal, kept = (1.0 - projected) * pull**2, graph
        inverse, diagonal, pull, items = (
            array.astype(np.float32) for array in (inverse, diagonal, pull, items)
        )
        return cls(inverse, diagonal, kept, pull, items, config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """What the rest of the history says of each item, [U, I]."""
        seen = self._seen(history)
        if self.graph is None:
            projected = seen @ self.inverse
        else:
            hidden = self.encode(history)
            projected = (seen.toarray() * self.pull - (self._by_item @ hidden.T).T) * self.pull
        scores: FloatArray = (seen.toarray() - projected / self.diagonal) * self._tilt
        return scores.astype(np.float32)

    def encode(self, history: Interactions) -> FloatArray:
        """In the dual form the history's likeness to the training users times the inverse, [U, V]; else [U, 0]."""
        if self.graph is None:
            return np.zeros((history.num_users, 0), np.float32)
        likeness = scaled(self._seen(history), columns=self.pull) @ self._by_item
        hidden: FloatArray = (likeness @ self.inverse).astype(np.float32)
        return hidden

    def score_encoded(self, history: Interactions, state: FloatArray, candidates: IntArray) -> FloatArray:
        """What the rest of the history says of each candidate, [U, C]."""
        own = self._own(history, candidates)
        if self.graph is None:
            projected = projected_at(self._seen(history), self.inverse, candidates)
        else:
            pull = self.pull[candidates]
            projected = (own * pull - sparse_products(state, self._by_item, candidates)) * pull
        scores = (own - projected / self.diagonal[candidates]) * self._tilt[candidates]
        return or_never(scores, candidates)

    def _seen(self, history: Interactions) -> sparse.csr_matrix:
        met = behaviour(history, self.config.values, self.config.half_life)
        return scaled(met, columns=power(self.degree, -self.config.tilt))

    def _own(self, history: Interactions, candidates: IntArray) -> FloatArray:
        """Entries of the tilted history at the candidates, [U, C]."""
        met = entries(history, candidates, self.config.values, self.config.half_life)
        tilted: FloatArray = met * power(self.degree, -self.config.tilt)[candidates]
        return tilted

    @cached_property
    def _by_item(self) -> sparse.csr_matrix:
        """W seen from the items, [I, V]; [I, 0] in the primal form."""
        nobody = sparse.csr_matrix((len(self.pull), 0), dtype=np.float32)
        return nobody if self.graph is None else self.graph.T.tocsr()

    @cached_property
    def _tilt(self) -> FloatArray:
        return power(self.degree, self.config.tilt)
