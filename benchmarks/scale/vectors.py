"""Users per second of the exact search against implicit's recommend, and the accuracy loss of int8.

python -m benchmarks.scale.vectors
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.scale.vector_search import Vectors
from tierrec_core.base import artifacts
from tierrec_core.bundle.bundle import EVALUATED, KnownUsers
from tierrec_core.data.interactions import Interactions
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.models.als import Als

_DATA = Path("data")
_USERS, _ITEMS, _FACTORS, _MET = 50_000, 20_000, 64, 30
_ASKED, _K, _ROUNDS = 15_000, 20, 3
_CUTOFF = 10
REPEATS = {"next": True, "discovery": False}


def made_up() -> tuple[Vectors, sparse.csr_matrix]:
    """Gaussian factors, and 30 random seen items per user."""
    rng = np.random.default_rng(0)
    sides = (rng.normal(size=(size, _FACTORS)).astype(np.float32) for size in (_USERS, _ITEMS))
    met = rng.integers(_ITEMS, size=_USERS * _MET).astype(np.int32)
    offsets = np.arange(0, len(met) + 1, _MET)
    matrix = sparse.csr_matrix((np.ones(len(met), np.float32), met, offsets), shape=(_USERS, _ITEMS))
    matrix.sum_duplicates()
    return Vectors.of(*sides), matrix


def demo() -> tuple[Vectors, Interactions]:
    """The factors of all known users and items that were fitted to the log before the test window."""
    bundle = _DATA / "package" / "bundle" / EVALUATED
    history = artifacts.load(KnownUsers, bundle / "known_users").history
    model = artifacts.load(Als, bundle / "models" / "als")
    return Vectors.of(model.encode_users(history), model.item_factors), history


def compare(vectors: Vectors, met: sparse.csr_matrix, threads: int) -> dict[str, float]:
    """Users per second of both, alternating, best of the rounds, and the share of equal positions."""
    users = np.arange(min(_ASKED, len(vectors.users)))
    met = met[users]
    with threadpool_limits(1, "blas"):
        peer = AlternatingLeastSquares(factors=vectors.items.shape[1], num_threads=threads)
        peer.user_factors, peer.item_factors = vectors.users, vectors.items
        rates: dict[str, list[float]] = {"implicit": [], "ours": []}
        for _ in range(_ROUNDS):
            theirs, rate = timed(lambda: peer.recommend(users, met, N=_K)[0], len(users))
            rates["implicit"].append(rate)
            ours, rate = timed(lambda: vectors.top_k(users, _K, met, threads=threads).items, len(users))
            rates["ours"].append(rate)
    best = {name: round(max(rate)) for name, rate in rates.items()}
    return best | {"ratio": round(best["ours"] / best["implicit"], 3), "equal": float((ours == theirs).mean())}


def timed(call: Callable[[], np.ndarray], count: int) -> tuple[np.ndarray, float]:
    begun = time.perf_counter()
    found = call()
    return found, count / (time.perf_counter() - begun)


def ndcg_loss(vectors: Vectors, history: Interactions) -> dict[str, float]:
    """Relative loss of NDCG@10 with int8 on the demo's test, by task."""
    small, users, losses = vectors.quantised(), np.arange(history.num_users), {}
    for task, repeats in REPEATS.items():
        frame = pd.read_parquet(_DATA / "evaluation" / "truth" / f"{task}.parquet")
        truth = Truth.of(
            history.users.get_indexer(frame["user_id"].astype(object)),
            history.items.get_indexer(frame["item_id"].astype(object)),
            history.num_items,
        )
        exclude = None if repeats else history.binary_matrix()
        exact, rounded = (
            per_user(one.top_k(users, _CUTOFF, exclude).items, truth, _CUTOFF)["ndcg"].mean()
            for one in (vectors, small)
        )
        losses[task] = round(float(1 - rounded / exact), 6)
    return losses


def main() -> None:
    synthetic, (factors, history) = made_up(), demo()
    worlds = {"synthetic": synthetic, "demo": (factors, history.binary_matrix())}
    rates = {
        f"{name}_{threads}_threads": compare(*world, threads) for name, world in worlds.items() for threads in (1, 2)
    }
    losses = ndcg_loss(factors, history)
    flat = {
        "batch_ratio_implicit": min(rate["ratio"] for rate in rates.values()),
        "int8_ndcg_loss": max(losses.values()),
    }
    print(json.dumps(flat | {"users_a_second": rates, "int8_ndcg_loss_by_task": losses}, indent=2))


if __name__ == "__main__":
    main()
