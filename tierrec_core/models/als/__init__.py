"""Implicit-feedback matrix factorisation by alternating least squares (Hu, Koren & Volinsky, ICDM 2008).

Fitted by the library `implicit`; users are folded in by the same least squares with fixed item factors.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Self

import numpy as np
from pydantic import PositiveFloat, PositiveInt
from threadpoolctl import ThreadpoolController, threadpool_limits

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.candidate_scores import factor_products, mask_padding
from tierrec_core.linalg.sparse import weighted_history
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange


@dataclass(frozen=True)
class Als:
    """Item factors; user factors are computed from the history.

    item_factors: [I, F]
    """

    item_factors: FloatArray
    config: "Als.Config"

    class Config(Params):
        """confidence: weight of the logarithm of a count; l2: regularization of all factors."""

        factors: Annotated[PositiveInt, SearchRange(16, 256, log=True)] = 64
        iterations: PositiveInt = 10
        l2: Annotated[PositiveFloat, SearchRange(0.1, 100.0, log=True)] = 5.0
        confidence: Annotated[PositiveFloat, SearchRange(0.3, 30.0, log=True)] = 2.0

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Run a fixed number of iterations on one thread, so that sums keep their order."""
        model = _library(config, int(training.rng.integers(2**31)))
        with threadpool_limits(1, "blas"):
            model.fit(config.confidence * weighted_history(training.history, "log_count"), show_progress=False)
        return cls(np.asarray(model.item_factors), config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Inner products of user and item factors, [U, I]."""
        return (self.encode_users(history) @ self.item_factors.T).astype(np.float32)

    def encode_users(self, history: Interactions) -> FloatArray:
        """User factors folded in from the history, [U, F]."""
        solver, threads = self._solver
        weights = self.config.confidence * weighted_history(history, "log_count")
        with threads.limit(limits=1, user_api="blas"):
            users: FloatArray = solver.recalculate_user(np.arange(history.num_users), weights)
        return users

    def score_encoded(self, _history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """Inner products of user factors and the candidates' factors, [U, C]."""
        return mask_padding(factor_products(user_states, self.item_factors, candidates), candidates)

    @cached_property
    def _solver(self) -> tuple[Any, ThreadpoolController]:
        """A library model with these item factors, and a controller of its BLAS threads."""
        model = _library(self.config, seed=0)
        model.item_factors = self.item_factors
        return model, ThreadpoolController()


def _library(config: Als.Config, seed: int) -> Any:
    from implicit.cpu.als import AlternatingLeastSquares

    with threadpool_limits(1, "blas"):
        return AlternatingLeastSquares(
            factors=config.factors,
            iterations=config.iterations,
            regularization=config.l2,
            use_cg=True,
            num_threads=1,
            random_state=seed,
        )
