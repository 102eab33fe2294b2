"""Parts `vectors` and `million`: batch lists, int8 vectors, and a bundle for a million users."""

import json
import subprocess
import sys
from typing import Any

from benchmarks.serving.harness.servers import Bench


def vectors(bench: Bench) -> dict[str, Any]:
    """batch_ratio_implicit and int8_ndcg_loss, with what they were made from."""
    return _told(bench, "benchmarks.scale.vectors", "vectors", ("batch_", "int8_"))


def million(bench: Bench) -> dict[str, Any]:
    """Resident size, readiness and latency with 1,000,000 users and 100,000 items."""
    return _told(bench, "benchmarks.scale.million", "million_user", ("million_user_",))


def _told(bench: Bench, module: str, prefix: str, own: tuple[str, ...]) -> dict[str, Any]:
    """What a benchmark prints as JSON in a process of its own; keys that begin with none of `own` get the prefix.

    Raises RuntimeError with its last words when it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=bench.layout.root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return {key if key.startswith(own) else f"{prefix}_{key}": value for key, value in told.items()}
