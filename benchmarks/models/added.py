"""Weighted sum of two models' standardized scores, such as a graph filter and ALS."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.models import registry
from tierrec_core.protocols.model import Retriever, Training


@dataclass(frozen=True)
class Added:
    """Score of the first plus `weight` times that of the second, each standardized per user."""

    first: Retriever
    second: Retriever
    weight: float

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """[U, I]"""
        total = _standardize(self.first.score_catalogue(history))
        total += self.weight * _standardize(self.second.score_catalogue(history))
        return total


def fit_added(training: Training, options: Mapping[str, Any]) -> Added:
    """Fit both models. Options: weight, and those of the models, `kind` included, prefixed with first. or second."""
    first, second = (_fitted(training, options, name) for name in ("first", "second"))
    return Added(first, second, float(options["weight"]))


def _fitted(training: Training, options: Mapping[str, Any], name: str) -> Retriever:
    prefix = f"{name}."
    block = {key.removeprefix(prefix): value for key, value in options.items() if key.startswith(prefix)}
    model, config = registry.configure(name, block)
    fitted = model.fit(training, config)
    assert isinstance(fitted, Retriever)
    return fitted


def _standardize(scores: FloatArray) -> FloatArray:
    centred = scores - scores.mean(axis=1, keepdims=True)
    return (centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-12)).astype(np.float32)
