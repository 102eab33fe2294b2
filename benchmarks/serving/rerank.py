"""Parts `rerank` and `curve`: sequential re-ranking of 100 items, then both kinds of requests by concurrency."""

from collections.abc import Iterator
from typing import Any

from benchmarks.serving.harness import payloads
from benchmarks.serving.harness.load import Load
from benchmarks.serving.harness.load import run as under_load
from benchmarks.serving.harness.servers import Bench, port_of

REQUESTS, WARM_UP = 1000, 200
CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64)
LISTS, RANKINGS = 2000, 500


def run(bench: Bench) -> dict[str, Any]:
    """Sequential re-ranking on loopback."""
    with bench.serving() as server:
        under_load(port_of(server), payloads.rankings(bench.users, bench.items, WARM_UP, seed=1), 1)
        requests = payloads.rankings(bench.users, bench.items, REQUESTS, seed=2)
        load = under_load(port_of(server), requests, 1, payloads.strategy_of)
    return {
        "rerank_requests": load.num_requests,
        "rerank_failed_requests": load.num_failed,
        "rerank_paths": dict(load.seen),
        "rerank_p50_ms": round(load.percentile_ms(50), 2),
        "rerank_p99_ms": round(load.percentile_ms(99), 2),
    }


def curve(bench: Bench) -> dict[str, Any]:
    """Requests per second, p50 and p99 by concurrency, of lists for known users and of re-ranking."""
    with bench.serving() as server:
        port = port_of(server)
        under_load(port, _lists(bench), 4)
        under_load(port, payloads.rankings(bench.users, bench.items, WARM_UP, seed=1), 4)
        return {
            "curve": {
                "recommend": [_point(c, under_load(port, _lists(bench), c)) for c in CONCURRENCIES],
                "rerank": [_point(c, under_load(port, _rankings(bench, c), c)) for c in CONCURRENCIES],
            }
        }


def _lists(bench: Bench) -> Iterator[bytes]:
    return payloads.lists(bench.users, LISTS)


def _rankings(bench: Bench, seed: int) -> Iterator[bytes]:
    return payloads.rankings(bench.users, bench.items, RANKINGS, seed)


def _point(concurrency: int, load: Load) -> dict[str, Any]:
    return {
        "concurrency": concurrency,
        "requests_per_second": round(load.per_second),
        "p50_ms": round(load.percentile_ms(50), 2),
        "p99_ms": round(load.percentile_ms(99), 2),
        "failed": load.num_failed,
    }
