"""Fit and evaluate one entry on one round, with costs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.models.task import Entry, Round
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.linalg.top_k import top_k
from tierrec_core.models import registry
from tierrec_core.protocols.model import Retriever, Training
from tierrec_core.ranking.candidates import rank_catalogue


@dataclass(frozen=True)
class Outcome:
    """Result of one evaluation. values: each metric of each user with ground truth, [E]."""

    values: Mapping[str, FloatArray]
    fit_cpu_s: float
    users_per_cpu_s: float
    model_mb: float


def fit_entry(entry: Entry, training: Training, options: Mapping[str, Any]) -> Retriever:
    """Fit the entry's model with these options."""
    if entry.build is not None:
        return entry.build(training, options)
    model, config = registry.configure(entry.kind, options)
    fitted = model.fit(training, config)
    if not isinstance(fitted, Retriever):
        raise TypeError(f"{entry.name}: {entry.kind} is no retriever; give the entry a `build` function")
    return fitted


def rank_users(model: Retriever, round_: Round, k: int, users: IntArray | None = None) -> IntArray:
    """Top k item columns for some users, [U, k]; -1 for all others."""
    rows = np.arange(round_.history.num_users) if users is None else users
    history, hidden = round_.history.select_users(rows), round_.hidden
    if hidden is round_.history:
        items = rank_catalogue(model, history, k, exclude_seen=True).items
    else:
        items = _masked(model, round_, rows, k)
    lists = np.full((round_.history.num_users, k), -1, items.dtype)
    lists[rows] = items
    return lists


def _masked(model: Retriever, round_: Round, rows: IntArray, k: int, batch: int = 512) -> IntArray:
    """As rank_catalogue, with hidden items that differ from the history."""
    parts = []
    for start in range(0, len(rows), batch):
        users = rows[start : start + batch]
        scores = model.score_catalogue(round_.history.select_users(users))
        parts.append(top_k(scores, k, round_.hidden.select_users(users).binary_matrix()).items)
    return np.concatenate(parts)


def user_metrics(items: IntArray, truth: Truth, metrics: Sequence[str]) -> dict[str, FloatArray]:
    """Each metric, such as recall@20, of each user with ground truth, [E]."""
    cutoffs = {metric: int(metric.partition("@")[2]) for metric in metrics}
    by_cutoff = {k: per_user(items, truth, k) for k in set(cutoffs.values())}
    return {metric: by_cutoff[k][metric.partition("@")[0]] for metric, k in cutoffs.items()}


def evaluate_sample(
    entry: Entry, round_: Round, options: Mapping[str, Any], metrics: Sequence[str], users: IntArray
) -> float:
    """Mean of all metrics over some users, all of whom have ground truth."""
    model = fit_entry(entry, round_.training, options)
    items = rank_users(model, round_, max_cutoff(metrics), users)
    among = np.isin(round_.truth.users, users)
    return float(np.mean([value[among].mean() for value in user_metrics(items, round_.truth, metrics).values()]))


def measure_outcome(entry: Entry, round_: Round, options: Mapping[str, Any], metrics: Sequence[str]) -> Outcome:
    """Fit, and evaluate on every user with ground truth."""
    start = time.process_time()
    model = fit_entry(entry, round_.training, options)
    fit = time.process_time() - start
    items = rank_users(model, round_, max_cutoff(metrics), round_.truth.users)
    ranking = time.process_time() - start - fit
    values = user_metrics(items, round_.truth, metrics)
    return Outcome(values, fit, len(round_.truth.users) / ranking, num_bytes(model) / 1e6)


def max_cutoff(metrics: Sequence[str]) -> int:
    """The largest cutoff of the metrics."""
    return max(int(metric.partition("@")[2]) for metric in metrics)


def num_bytes(thing: Any) -> int:
    """Total bytes of a model's arrays and sparse matrices, without cached ones."""
    if isinstance(thing, np.ndarray):
        return int(thing.nbytes)
    if sparse.issparse(thing):
        return sum(num_bytes(part) for part in (thing.data, thing.indices, thing.indptr))
    if isinstance(thing, list | tuple):
        return sum(map(num_bytes, thing))
    fields = getattr(thing, "__dataclass_fields__", {})
    return sum(num_bytes(getattr(thing, name)) for name in fields)
