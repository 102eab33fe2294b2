"""A data set's whole benchmark: every entry tuned on the validation round and judged once on the test round.

Each entry is tuned, and again judged, in a process of its own, so that one model's memory is not another's peak.
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
from benchmarks.models.trial import Outcome, measured, tried
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray
from tierrec_core.tuning.study import SearchResult, brief, search

P, R = ParamSpec("P"), TypeVar("R")


@dataclass(frozen=True)
class PerUser:
    """What each user with a truth got, kept so that models of different calls can be compared in pairs, [E, M]."""

    values: FloatArray
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Bench:
    """data: where the data sets lie; kept: where users' figures are kept; revision: of what is measured"""

    data: Path
    kept: Path
    revision: str
    seed: int

    def line(self, dataset: Dataset, entry: Entry, recorded: Mapping[str, Any] | None) -> dict[str, Any]:
        """Tune, unless options are recorded already, then fit on the whole train part and judge once."""
        journal = self.kept / dataset.name / f"{entry.name}.trials"
        told: dict[str, Any] = {"revision": self.revision, "is_peer": entry.is_peer}
        if recorded is not None:
            options = recorded["params"]
            told |= {key: recorded[key] for key in ("trials", "valid") if key in recorded}
        elif entry.trials:
            journal.parent.mkdir(parents=True, exist_ok=True)
            found = _alone(tune, dataset, entry, self.data, self.seed, journal)
            options = dict(entry.fixed) | dict(found.options)
            told |= {"trials": entry.trials, "valid": round(found.value, 5)}
        else:
            options = dict(entry.fixed)
        outcome, peak_mb = _alone(judge, dataset, entry, options, self.data, self.seed)
        values = np.stack([outcome.values[metric] for metric in dataset.metrics], axis=1)
        artifacts.save(PerUser(values, tuple(dataset.metrics)), self._place(dataset, entry.name))
        journal.unlink(missing_ok=True)
        return record.line(outcome, peak_mb, options, self.seed, **told)

    def compared(self, dataset: Dataset, lines: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """The lines, each with its paired difference from the strongest peer of which users' figures are kept."""
        values = {name: self._values(dataset, name) for name in lines if self._place(dataset, name).exists()}
        first = dataset.metrics[0]
        peers = [name for name in values if lines[name]["is_peer"]]
        if not peers:
            return {name: dict(one) for name, one in lines.items()}
        strongest = max(peers, key=lambda name: lines[name][first]["value"])
        differences = record.against(values, strongest, self.seed)
        return {
            name: dict(one) | ({"against": differences[name]} if name in differences else {})
            for name, one in lines.items()
        }

    def _place(self, dataset: Dataset, name: str) -> Path:
        return self.kept / dataset.name / name

    def _values(self, dataset: Dataset, name: str) -> dict[str, FloatArray]:
        found = artifacts.load(PerUser, self._place(dataset, name))
        return dict(zip(found.metrics, found.values.T, strict=True))


def tune(dataset: Dataset, entry: Entry, folder: Path, seed: int, journal: Path) -> SearchResult:
    """The best options on the validation round, by the mean of the metrics; each trial is told as it ends.

    A run that was cut goes on where its journal ends.
    """
    given, _ = dataset.rounds(folder, seed)
    chosen = np.random.default_rng(seed).permutation(given.truth.users)[: dataset.tuning_users]
    users = np.sort(chosen)

    def figure(options: Mapping[str, Any]) -> float:
        value = tried(entry, given, dict(entry.fixed) | dict(options), dataset.metrics, users)
        print(f"{dataset.name} {entry.name} valid {value:.5f} with {brief(options)}", flush=True)
        return value

    return search(entry.space, figure, entry.trials, seed, entry.first, journal)


def judge(
    dataset: Dataset, entry: Entry, options: Mapping[str, Any], folder: Path, seed: int
) -> tuple[Outcome, float]:
    """The figures on the test round, and the peak of the process's resident memory in MB."""
    _, given = dataset.rounds(folder, seed)
    outcome = measured(entry, given, options, dataset.metrics)
    return outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def chosen(entries: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """The entries of these names, all where none is named. Raises ValueError for a name that no entry has."""
    unknown = set(names) - {entry.name for entry in entries}
    if unknown:
        known = ", ".join(entry.name for entry in entries)
        raise ValueError(f"--models: {', '.join(sorted(unknown))} is unknown here; known are {known}")
    return [entry for entry in entries if not names or entry.name in names]


def _alone(work: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """What the work returns, done in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments, **named).result()
