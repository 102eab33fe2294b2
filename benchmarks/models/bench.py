"""Benchmark of one data set: every entry is tuned on the validation round and evaluated once on the test round.

Tuning and evaluation run in a process per entry, so that peak memory is that of one model.
"""

import multiprocessing
import resource
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from benchmarks.models import record
from benchmarks.models.task import Dataset, Entry
from benchmarks.models.trial import Outcome, evaluate_sample, measure_outcome
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray
from tierrec_core.tuning.study import SearchResult, format_options, search_options

P, R = ParamSpec("P"), TypeVar("R")


@dataclass(frozen=True)
class PerUser:
    """Metrics of each evaluated user, stored for paired comparisons between runs, [E, M]."""

    values: FloatArray
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Bench:
    """data: folder of the data sets; cache: folder of per-user figures; revision: of the measured code."""

    data: Path
    cache: Path
    revision: str
    seed: int

    def measure(self, dataset: Dataset, entry: Entry, recorded: Mapping[str, Any] | None) -> dict[str, Any]:
        """Tune, unless options are recorded, then fit to the whole train part and evaluate once."""
        journal = self.cache / dataset.name / f"{entry.name}.trials"
        extra: dict[str, Any] = {"revision": self.revision, "is_peer": entry.is_peer}
        if recorded is not None:
            options = recorded["params"]
            extra |= {key: recorded[key] for key in ("trials", "valid") if key in recorded}
        elif entry.trials:
            journal.parent.mkdir(parents=True, exist_ok=True)
            result = _in_process(tune, dataset, entry, self.data, self.seed, journal)
            options = dict(entry.fixed) | dict(result.options)
            extra |= {"trials": entry.trials, "valid": round(result.value, 5)}
        else:
            options = dict(entry.fixed)
        outcome, peak_mb = _in_process(evaluate, dataset, entry, options, self.data, self.seed)
        values = np.stack([outcome.values[metric] for metric in dataset.metrics], axis=1)
        artifacts.save(PerUser(values, tuple(dataset.metrics)), self._path(dataset, entry.name))
        journal.unlink(missing_ok=True)
        return record.line(outcome, peak_mb, options, self.seed, **extra)

    def compare(self, dataset: Dataset, lines: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Add to each line its paired difference to the strongest peer with stored figures."""
        values = {name: self._values(dataset, name) for name in lines if self._path(dataset, name).exists()}
        first = dataset.metrics[0]
        peers = [name for name in values if lines[name]["is_peer"]]
        if not peers:
            return {name: dict(line) for name, line in lines.items()}
        strongest = max(peers, key=lambda name: lines[name][first]["value"])
        differences = record.paired_differences(values, strongest, self.seed)
        return {
            name: dict(line) | ({"against": differences[name]} if name in differences else {})
            for name, line in lines.items()
        }

    def _path(self, dataset: Dataset, name: str) -> Path:
        return self.cache / dataset.name / name

    def _values(self, dataset: Dataset, name: str) -> dict[str, FloatArray]:
        stored = artifacts.load(PerUser, self._path(dataset, name))
        return dict(zip(stored.metrics, stored.values.T, strict=True))


def tune(dataset: Dataset, entry: Entry, folder: Path, seed: int, journal: Path) -> SearchResult:
    """Find the best options on the validation round, by the mean of the metrics; an interrupted search resumes."""
    valid, _ = dataset.rounds(folder, seed)
    shuffled = np.random.default_rng(seed).permutation(valid.truth.users)
    users = np.sort(shuffled[: dataset.tuning_users])

    def objective(options: Mapping[str, Any]) -> float:
        value = evaluate_sample(entry, valid, dict(entry.fixed) | dict(options), dataset.metrics, users)
        print(f"{dataset.name} {entry.name} valid {value:.5f} with {format_options(options)}", flush=True)
        return value

    return search_options(entry.space, objective, entry.trials, seed, entry.first, journal)


def evaluate(
    dataset: Dataset, entry: Entry, options: Mapping[str, Any], folder: Path, seed: int
) -> tuple[Outcome, float]:
    """Evaluate on the test round; also return the process's peak resident memory in MB."""
    _, test = dataset.rounds(folder, seed)
    outcome = measure_outcome(entry, test, options, dataset.metrics)
    return outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def select_entries(entries: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """Entries by name, all for no names. Raises ValueError for an unknown name."""
    unknown = set(names) - {entry.name for entry in entries}
    if unknown:
        known = ", ".join(entry.name for entry in entries)
        raise ValueError(f"--models: {', '.join(sorted(unknown))} is unknown here; known are {known}")
    return [entry for entry in entries if not names or entry.name in names]


def _in_process(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """Run a function in a new process and return its result."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **named).result()
