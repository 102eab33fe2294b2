"""Parts `vectors` and `million`: batch lists, int8 vectors, and a bundle for a million users."""

import json
import subprocess
import sys
from typing import Any

from benchmarks.serving.harness.servers import Bench


def vectors(bench: Bench) -> dict[str, Any]:
    """batch_ratio_implicit and int8_ndcg_loss, with the figures behind them."""
    return _run_benchmark(bench, "benchmarks.scale.vectors", "vectors", ("batch_", "int8_"))


def million(bench: Bench) -> dict[str, Any]:
    """Resident size, start-up time and latency with 1,000,000 users and 100,000 items."""
    return _run_benchmark(bench, "benchmarks.scale.million", "million_user", ("million_user_",))


def _run_benchmark(bench: Bench, module: str, prefix: str, own: tuple[str, ...]) -> dict[str, Any]:
    """The JSON that a benchmark prints in a process of its own; keys that begin with none of `own` get the prefix.

    Raises RuntimeError with the end of its standard error when it fails.
    """
    completed = subprocess.run(
        [sys.executable, "-m", module], cwd=bench.layout.root, capture_output=True, text=True, check=False
    )
    if completed.returncode:
        raise RuntimeError(f"{module} exited with {completed.returncode}, wanted 0: {completed.stderr.strip()[-2000:]}")
    figures: dict[str, Any] = json.loads(completed.stdout[completed.stdout.index("{") :])
    return {key if key.startswith(own) else f"{prefix}_{key}": value for key, value in figures.items()}
