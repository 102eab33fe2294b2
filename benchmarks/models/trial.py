"""One fit and one judgement of one entry, with what they cost."""

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
from tierrec_core.ranking.catalogue import rank_catalogue


@dataclass(frozen=True)
class Outcome:
    """values: each metric of each user with a truth, [E]; costs are of the fit and of ranking, in CPU seconds."""

    values: Mapping[str, FloatArray]
    fit_cpu_s: float
    users_per_cpu_s: float
    model_mb: float


def fitted(entry: Entry, training: Training, options: Mapping[str, Any]) -> Retriever:
    """The entry's model with these options."""
    if entry.build is not None:
        return entry.build(training, options)
    model, config = registry.configure(entry.kind, options)
    found = model.fit(training, config)
    if not isinstance(found, Retriever):
        raise TypeError(f"{entry.name}: {entry.kind} is no retriever; give the entry a `build` that ranks")
    return found


def lists(model: Retriever, given: Round, k: int, users: IntArray | None = None) -> IntArray:
    """Lists of k item columns of the chosen rows, [U, k]; rows that are not chosen are -1."""
    rows = np.arange(given.history.num_users) if users is None else users
    history, hidden = given.history.select_users(rows), given.hidden
    if hidden is given.history:
        items = rank_catalogue(model, history, k, exclude_seen=True).items
    else:
        items = _masked(model, given, rows, k)
    spread = np.full((given.history.num_users, k), -1, items.dtype)
    spread[rows] = items
    return spread


def _masked(model: Retriever, given: Round, rows: IntArray, k: int, batch: int = 512) -> IntArray:
    """As rank_catalogue, with what is hidden given apart from the history."""
    parts = []
    for start in range(0, len(rows), batch):
        chosen = rows[start : start + batch]
        scores = model.score_catalogue(given.history.select_users(chosen))
        parts.append(top_k(scores, k, given.hidden.select_users(chosen).binary_matrix()).items)
    return np.concatenate(parts)


def judged(items: IntArray, truth: Truth, metrics: Sequence[str]) -> dict[str, FloatArray]:
    """Each metric, such as recall@20, of each user with a truth, [E]."""
    cutoffs = {metric: int(metric.partition("@")[2]) for metric in metrics}
    found = {k: per_user(items, truth, k) for k in set(cutoffs.values())}
    return {metric: found[k][metric.partition("@")[0]] for metric, k in cutoffs.items()}


def tried(
    entry: Entry, given: Round, options: Mapping[str, Any], metrics: Sequence[str], users: IntArray
) -> float:
    """Mean of all metrics over the chosen users, all of whom have a truth."""
    model = fitted(entry, given.training, options)
    items = lists(model, given, depth(metrics), users)
    among = np.isin(given.truth.users, users)
    return float(np.mean([value[among].mean() for value in judged(items, given.truth, metrics).values()]))


def measured(entry: Entry, given: Round, options: Mapping[str, Any], metrics: Sequence[str]) -> Outcome:
    """Fit once and rank for every user with a truth."""
    start = time.process_time()
    model = fitted(entry, given.training, options)
    fit = time.process_time() - start
    items = lists(model, given, depth(metrics), given.truth.users)
    ranking = time.process_time() - start - fit
    values = judged(items, given.truth, metrics)
    return Outcome(values, fit, len(given.truth.users) / ranking, num_bytes(model) / 1e6)


def depth(metrics: Sequence[str]) -> int:
    """The longest list that a metric looks at."""
    return max(int(metric.partition("@")[2]) for metric in metrics)


def num_bytes(thing: Any) -> int:
    """Of all arrays and sparse matrices of a model, its parts included; what it has cached is not counted."""
    if isinstance(thing, np.ndarray):
        return int(thing.nbytes)
    if sparse.issparse(thing):
        return sum(num_bytes(part) for part in (thing.data, thing.indices, thing.indptr))
    if isinstance(thing, list | tuple):
        return sum(map(num_bytes, thing))
    fields = getattr(thing, "__dataclass_fields__", {})
    return sum(num_bytes(getattr(thing, name)) for name in fields)
