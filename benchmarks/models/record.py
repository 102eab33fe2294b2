"""results.json: figures with intervals, costs, options and revision, by data set and model."""

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


def as_json(interval: ConfidenceInterval) -> dict[str, Any]:
    """An interval in the form of results.json."""
    return {"value": round(interval.value, 5), "ci": [round(interval.low, 5), round(interval.high, 5)]}


def figures(values: Mapping[str, FloatArray], seed: int) -> dict[str, Any]:
    """Each metric's mean over users [E] with its bootstrap interval."""
    intervals = bootstrap_means(np.stack(list(values.values()), axis=1), DRAWS, np.random.default_rng(seed))
    return {metric: as_json(interval) for metric, interval in zip(values, intervals, strict=True)}


def line(outcome: Outcome, peak_mb: float, options: Mapping[str, Any], seed: int, **more: Any) -> dict[str, Any]:
    """The record of one model on one data set."""
    costs = {
        "fit_cpu_s": round(outcome.fit_cpu_s, 2),
        "users_per_cpu_s": round(outcome.users_per_cpu_s, 1),
        "peak_mb": round(peak_mb),
        "model_mb": round(outcome.model_mb, 2),
    }
    return figures(outcome.values, seed) | costs | {"params": dict(options), "seed": seed} | more


def paired_differences(
    values: Mapping[str, Mapping[str, FloatArray]], peer: str, seed: int
) -> dict[str, dict[str, Any]]:
    """Paired difference of each metric to the peer, for every other model."""
    base = values[peer]
    return {
        name: {"peer": peer} | figures({metric: own[metric] - base[metric] for metric in base}, seed)
        for name, own in values.items()
        if name != peer
    }


def read(path: Path) -> Results:
    """All recorded results; empty without the file."""
    results: Results = artifacts.read_json(path) if path.exists() else {}
    return results


def merge_lines(path: Path, dataset: str, lines: Mapping[str, Mapping[str, Any]]) -> Results:
    """Merge the lines of one data set into the file."""
    results = read(path)
    results[dataset] = results.get(dataset, {}) | {name: dict(line) for name, line in lines.items()}
    artifacts.write_json(results, path)
    return results
