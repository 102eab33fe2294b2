"""Two models of the project added up: a graph filter, and factors that see what its frequencies do not."""

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
    """The second's scores, `weight` times, on top of the first's; each user's scores in standard deviations."""

    first: Retriever
    second: Retriever
    weight: float

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """[U, I]"""
        total = _standardised(self.first.score_catalogue(history))
        total += self.weight * _standardised(self.second.score_catalogue(history))
        return total


def added(training: Training, options: Mapping[str, Any]) -> Added:
    """Options: weight; those that begin with first. or second. are the models' own, `kind` among them."""
    first, second = (_fitted(training, options, name) for name in ("first", "second"))
    return Added(first, second, float(options["weight"]))


def _fitted(training: Training, options: Mapping[str, Any], name: str) -> Retriever:
    block = {key.removeprefix(f"{name}."): one for key, one in options.items() if key.startswith(f"{name}.")}
    model, config = registry.configure(name, block)
    fitted = model.fit(training, config)
    assert isinstance(fitted, Retriever)
    return fitted


def _standardised(scores: FloatArray) -> FloatArray:
    centred = scores - scores.mean(axis=1, keepdims=True)
    return (centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-12)).astype(np.float32)
