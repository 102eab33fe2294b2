"""A million users and a hundred thousand items: time to ready, resident memory, and latency of a list.

python -m benchmarks.scale.million
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from scipy import sparse

from benchmarks.scale.vector_search import Vectors
from tierrec_core.base import memmap
from tierrec_core.bundle.user_tables import RankedLists, SeenItems, UserIndex

_USERS, _ITEMS, _FACTORS, _SEEN, _LISTED = 1_000_000, 100_000, 64, 50, 50
_REQUESTS, _K = 2_000, 10


def user_id(row: int) -> str:
    return f"customer-{row * 7919 % _USERS:07d}"


def build(folder: Path) -> None:
    """Write random artifacts of the full size."""
    rng = np.random.default_rng(0)
    sides = [rng.standard_normal((size, _FACTORS), np.float32) for size in (_USERS, _ITEMS)]
    Vectors.of(*sides).quantised().save(folder / "vectors")
    memmap.save_arrays(UserIndex.of(user_id(row) for row in range(_USERS)), folder / "users")
    steps = rng.integers(1, 2 * _ITEMS // _SEEN, (_USERS, _SEEN), dtype=np.int32)
    seen = np.minimum(np.cumsum(steps, axis=1, dtype=np.int32), _ITEMS - 1)
    memmap.save_arrays(SeenItems(seen.ravel(), np.arange(0, seen.size + 1, _SEEN)), folder / "seen_items")
    items = rng.integers(_ITEMS, size=(_USERS, _LISTED), dtype=np.int32)
    scores = -np.sort(-rng.random(items.shape, np.float32), axis=1)
    memmap.save_arrays(RankedLists(items, scores), folder / "ranked_lists")


def measure(folder: Path) -> dict[str, float]:
    """Open the artifacts, verify their hashes, and look up random users' lists in one thread.

    Ready is the time from process start to the first list; file pages are resident but not private, since workers share
    them.
    """
    vectors, index = Vectors.load(folder / "vectors"), memmap.map_arrays(UserIndex, folder / "users")
    seen = memmap.map_arrays(SeenItems, folder / "seen_items")
    lists = memmap.map_arrays(RankedLists, folder / "ranked_lists")

    def exact(user: str) -> None:
        row = index.find(user)
        items = seen.row(row)
        exclude = sparse.csr_matrix((np.ones(len(items), np.float32), items, [0, len(items)]), (1, vectors.num_items))
        vectors.top_k(np.array([row]), _K, exclude)

    exact(user_id(0))
    process = psutil.Process()
    ready = time.time() - process.create_time()
    users = [user_id(row) for row in np.random.default_rng(1).integers(_USERS, size=_REQUESTS).tolist()]
    searched = [milliseconds(exact, user) for user in users]
    listed = [milliseconds(lambda user: lists.row(index.find(user)), user) for user in users]
    held = process.memory_info()
    return {
        "million_user_ready_s": round(ready, 2),
        "million_user_rss_gib": round(held.rss / 2**30, 3),
        "million_user_private_gib": round((held.rss - held.shared) / 2**30, 3),
        "million_user_p50_ms": round(float(np.median(searched)), 3),
        "million_user_p99_ms": round(float(np.quantile(searched, 0.99)), 3),
        "million_user_shelf_p50_ms": round(float(np.median(listed)), 4),
    }


def milliseconds(call: Callable[[str], object], user: str) -> float:
    started = time.perf_counter()
    call(user)
    return 1e3 * (time.perf_counter() - started)


def main() -> None:
    with TemporaryDirectory() as name:
        folder, started = Path(name), time.perf_counter()
        build(folder)
        built = time.perf_counter() - started
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "benchmarks.scale.million", name]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    about = {"build_s": round(built, 1), "disk_gib": round(size / 2**30, 2)}
    print(json.dumps(json.loads(done.stdout) | about, indent=2))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(Path(sys.argv[1]))))
    else:
        main()
