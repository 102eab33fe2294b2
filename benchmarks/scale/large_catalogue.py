"""Time and memory of the models that scale to a million items: fit, size and ranking.

python -m benchmarks.scale.large_catalogue [MODEL ...]. Users and events are random; item popularity is a power law.
"""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from resource import RUSAGE_SELF, getrusage
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.models.task import events_frame, training_of
from benchmarks.models.trial import num_bytes
from tierrec_core.base.contracts import ITEMS
from tierrec_core.data.interactions import Interactions
from tierrec_core.models import registry
from tierrec_core.protocols.model import Retriever, Training
from tierrec_core.ranking.candidates import rank_catalogue

_USERS, _ITEMS, _EVENTS = 100_000, 1_000_000, 3_000_000
_TIERED, _ASKED, _K = 2_000, 64, 20
MODELS: dict[str, dict[str, Any]] = {
    "popularity": {},
    "item_knn": {"values": "binary", "neighbours": 50},
    "als": {"factors": 64, "iterations": 3},
    "ease": {"values": "binary", "rank": 64},
    "linear_autoencoder": {"values": "binary", "rank": 64},
    "graph_filter": {"values": "binary", "rank": 64},
}


def random_training(seed: int = 0) -> Training:
    """Random purchases at one time; an item's popularity falls with its rank to the power of .8."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, _ITEMS + 1) ** -0.8
    item = np.searchsorted(np.cumsum(share / share.sum()), rng.random(_EVENTS)).clip(max=_ITEMS - 1)
    user = np.sort(rng.integers(_USERS, size=_EVENTS))
    ids = {"users": np.arange(_USERS), "items": np.arange(_ITEMS)}
    history = Interactions.from_events(
        events_frame(pd.Series(user), pd.Series(item)),
        **{side: pd.Index(known.astype(str), dtype=object) for side, known in ids.items()},
    )
    sample = training_of(history.select_users(np.arange(_TIERED)), None, seed)
    return Training(
        history,
        ITEMS.conform(pd.DataFrame({"item_id": history.items}), "benchmark"),
        sample.tiering,
        sample.target,
        seed,
    )


def measure_row(name: str) -> list[str]:
    """Measure one row of the table; run in its own process."""
    with threadpool_limits(1):
        training = random_training()
        kind, config = registry.configure(name, MODELS[name])
        started, before = time.process_time(), getrusage(RUSAGE_SELF).ru_maxrss
        model = kind.fit(training, config)
        fit, peak = time.process_time() - started, getrusage(RUSAGE_SELF).ru_maxrss
        assert isinstance(model, Retriever)
        started = time.process_time()
        ranked = rank_catalogue(
            model, training.history.select_users(np.arange(_ASKED)), _K, exclude_seen=True, batch=_ASKED
        )
        ranking = time.process_time() - started
        assert (ranked.items >= 0).all()
    sizes = (before / 1e6, peak / 1e6, num_bytes(model) / 1e9)
    return [
        name,
        f"{fit:.1f}",
        *(f"{size * scale:.2f}" for size, scale in zip(sizes, (1.024, 1.024, 1), strict=True)),
        f"{1e3 * ranking / _ASKED:.0f}",
    ]


def rows(names: list[str]) -> Iterator[list[str]]:
    """Rows as they are measured."""
    for name in names or list(MODELS):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            yield pool.submit(measure_row, name).result()


def main() -> None:
    """Print the table."""
    table = Table(
        "model",
        "fit CPU s",
        "GB before",
        "peak GB",
        "model GB",
        "ms a user",
        title=f"{_USERS:,} users, {_ITEMS:,} items, {_EVENTS:,} events",
    )
    for row in rows(sys.argv[1:]):
        print(*row, flush=True)
        table.add_row(*row)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
