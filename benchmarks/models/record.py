"""results.json: figures with intervals, costs, options and the revision that produced them, merged by data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models.trial import Outcome
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray
from tierrec_core.evaluation.bootstrap import ConfidenceInterval, bootstrap_means

DRAWS = 2000
Results = dict[str, dict[str, dict[str, Any]]]


def described(found: ConfidenceInterval) -> dict[str, Any]:
    """A figure as results.json has it."""
    return {"value": round(found.value, 5), "ci": [round(found.low, 5), round(found.high, 5)]}


def figures(values: Mapping[str, FloatArray], seed: int) -> dict[str, Any]:
    """Each metric's mean over users [E] with its bootstrap interval."""
    found = bootstrap_means(np.stack(list(values.values()), axis=1), DRAWS, np.random.default_rng(seed))
    return {metric: described(one) for metric, one in zip(values, found, strict=True)}


def line(
    outcome: Outcome, peak_mb: float, options: Mapping[str, Any], seed: int, **more: Any
) -> dict[str, Any]:
    """All that is kept of one model on one data set."""
    costs = {
        "fit_cpu_s": round(outcome.fit_cpu_s, 2),
        "users_per_cpu_s": round(outcome.users_per_cpu_s, 1),
        "peak_mb": round(peak_mb),
        "model_mb": round(outcome.model_mb, 2),
    }
    return figures(outcome.values, seed) | costs | {"params": dict(options), "seed": seed} | more


def against(
    values: Mapping[str, Mapping[str, FloatArray]], peer: str, seed: int
) -> dict[str, dict[str, Any]]:
    """Of each model but the peer, the paired difference of each metric and who the peer is."""
    base = values[peer]
    return {
        name: {"peer": peer} | figures({metric: own[metric] - base[metric] for metric in base}, seed)
        for name, own in values.items()
        if name != peer
    }


def read(path: Path) -> Results:
    """What is known so far; nothing where there is no file."""
    found: Results = artifacts.read_json(path) if path.exists() else {}
    return found


def merged(path: Path, dataset: str, lines: Mapping[str, Mapping[str, Any]]) -> Results:
    """Put the lines of one data set among those that the file has, and write it whole."""
    known = read(path)
    known[dataset] = known.get(dataset, {}) | {name: dict(one) for name, one in lines.items()}
    artifacts.write_json(known, path)
    return known
