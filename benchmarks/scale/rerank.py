"""Latency by part of re-ranking 100 given items for known users of the packaged bundle, in one thread.

python -m benchmarks.scale.rerank [BUNDLE]
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from tierrec_core.bundle.bundle import Bundle
from tierrec_core.bundle.user_states import UserStates
from tierrec_core.ranking import Candidates, score_candidates

_BUNDLE = Path("data/package/bundle")
_USERS, _WARM, _CANDIDATES = 200, 20, 100
T = TypeVar("T")


class Clock:
    """Wall and CPU milliseconds of each part, by call."""

    def __init__(self) -> None:
        self.taken: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def time(self, part: str, call: Callable[[], T]) -> T:
        begun = time.perf_counter(), time.thread_time()
        found = call()
        ended = time.perf_counter(), time.thread_time()
        self.taken[part].append((1e3 * (ended[0] - begun[0]), 1e3 * (ended[1] - begun[1])))
        return found

    def summary(self) -> dict[str, dict[str, float]]:
        return {part: _quantiles(np.array(taken[_WARM:])) for part, taken in self.taken.items()}


def _quantiles(taken: np.ndarray) -> dict[str, float]:
    """Quantiles of times [N, 2], wall and CPU."""
    (wall, cpu), (slow_wall, slow_cpu) = np.quantile(taken, [0.5, 0.99], axis=0).round(3).tolist()
    return {"p50_ms": wall, "p99_ms": slow_wall, "cpu_p50_ms": cpu, "cpu_p99_ms": slow_cpu}


def measure(bundle: Bundle, states: UserStates) -> dict[str, dict[str, float]]:
    """Whole calls of all users in sequence, as in a service; then part by part."""
    rng, clock, history = np.random.default_rng(0), Clock(), bundle.history
    users = rng.permutation(history.num_users)[: _USERS + _WARM]
    asked = [rng.permutation(history.num_items)[:_CANDIDATES].astype(np.int32) for _ in users]
    task = bundle.tasks[0]

    def known(user: int, columns: np.ndarray) -> np.ndarray:
        return bundle.rerank(task, history.select_users(np.array([user])), columns, states.row(user))

    for user, columns in zip(users, asked, strict=True):
        clock.time("rerank of a known user", lambda u=user, c=columns: known(u, c))
    for user, columns in zip(users, asked, strict=True):
        one = history.select_users(np.array([user]))
        clock.time("rerank of anybody", lambda o=one, c=columns: bundle.rerank(task, o, c))
    for user, columns in zip(users, asked, strict=True):
        _measure_parts(clock, bundle, states, user, np.sort(columns))
    return clock.summary()


def _measure_parts(clock: Clock, bundle: Bundle, states: UserStates, user: int, columns: np.ndarray) -> None:
    blend = next(iter(bundle.blends.values()))
    one = clock.time("part: history", lambda: bundle.history.select_users(np.array([user])))
    kept = clock.time("part: states", lambda: states.row(user))
    scores = {
        name: clock.time(
            f"model: {name}", lambda n=name: score_candidates({n: bundle.models[n]}, one, columns[None], kept)
        )[name][0]
        for name in bundle.models
    }
    candidates = Candidates(np.zeros(len(columns), np.int32), columns, scores)
    table = clock.time("part: features", lambda: blend.context.table(one, candidates))
    clock.time("part: trees", lambda: blend.score_table(table, threads=1))


def main() -> None:
    torch.set_num_threads(1)
    bundle = Bundle.load(Path(sys.argv[1]) if len(sys.argv) > 1 else _BUNDLE)
    with TemporaryDirectory() as folder, threadpool_limits(1):
        begun = time.perf_counter()
        UserStates.of(bundle.models, bundle.history).save(Path(folder) / "states")
        encoded = time.perf_counter() - begun
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        report = measure(bundle, UserStates.load(Path(folder) / "states"))
    about = {"users": bundle.history.num_users, "seconds": round(encoded, 2), "MiB": round(size / 2**20, 1)}
    print(json.dumps({"states": about} | report, indent=2))


if __name__ == "__main__":
    main()
