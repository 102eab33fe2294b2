"""Part `ratios`: requests per server CPU second, and p99, relative to the baseline service, measured in turns."""

import asyncio
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.serving.harness import payloads
from benchmarks.serving.harness.load import Load, drive
from benchmarks.serving.harness.servers import Bench, bare, port_of
from benchmarks.serving.process_tree import ProcessTree
from benchmarks.serving.report import paired
from services.deployment.server import Server

ROUNDS, SLICES, SLICE, WARM_UP = 6, 4, 500, 1500
CONCURRENCY, CROWD = 4, 16
NUM_FRESH, EVENTS_EACH = 300, 4
_SETTLE_SECONDS = 0.3  # work after a response, such as storing the impression, ends within this
BARE, KNOWN, FRESH = "bare", "known", "fresh"


@dataclass
class Side:
    """A server under comparison, the users of its requests, and the results of its rounds by concurrency."""

    server: Server
    users: Sequence[str]
    per_cpu_second: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    p99_ms: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    paths: Counter[str] = field(default_factory=Counter)
    num_sent: int = 0
    failed: int = 0

    async def send(self, concurrency: int, count: int) -> Load:
        """Send `count` requests for lists."""
        requests = payloads.lists(self.users, count, self.num_sent)
        load = await drive(port_of(self.server), requests, concurrency, payloads.strategy_of)
        self.num_sent += count
        self.paths.update(load.seen)
        self.failed += load.num_failed
        return load

    def record(self, concurrency: int, loads: Sequence[Load], cpu_seconds: float) -> None:
        """Record the results of a round."""
        latencies = [latency for load in loads for latency in load.latencies]
        self.p99_ms[concurrency].append(1000 * float(np.percentile(latencies, 99)))
        self.per_cpu_second[concurrency].append(sum(load.num_requests for load in loads) / cpu_seconds)


def run(bench: Bench) -> dict[str, Any]:
    """Start all three servers, post fresh events, and measure all rounds."""
    fresh, known = bench.users[:NUM_FRESH], bench.users[NUM_FRESH:]
    posts = payloads.batches(payloads.events(fresh, bench.items, EVENTS_EACH, seed=0), 500)
    with bare() as plain, bench.serving() as ours, bench.serving() as moved:
        sides = {BARE: Side(plain, known), KNOWN: Side(ours, known), FRESH: Side(moved, fresh)}
        asyncio.run(_measure(sides, posts))
    return figures(sides)


async def _measure(sides: dict[str, Side], posts: Iterator[bytes]) -> None:
    posted = await drive(port_of(sides[FRESH].server), posts, 1)
    if posted.num_failed:
        raise RuntimeError(f"ratios: posts of events failed: {dict(posted.failures)}, wanted none")
    for side in sides.values():
        await side.send(CONCURRENCY, WARM_UP)
    for number in range(ROUNDS):
        for concurrency in (CONCURRENCY, CROWD):
            await _round(sides, concurrency, number)


async def _round(sides: dict[str, Side], concurrency: int, number: int) -> None:
    """Measure the servers in alternating slices, so that other load affects all alike; `number` rotates the order."""
    trees = {name: ProcessTree(side.server.process) for name, side in sides.items()}
    before = {name: tree.cpu_seconds() for name, tree in trees.items()}
    loads: dict[str, list[Load]] = {name: [] for name in sides}
    names = list(sides)
    for turn in range(SLICES * len(names)):
        name = names[(turn + number) % len(names)]
        loads[name].append(await sides[name].send(concurrency, SLICE))
    await asyncio.sleep(_SETTLE_SECONDS)
    for name, side in sides.items():
        side.record(concurrency, loads[name], trees[name].cpu_seconds() - before[name])


def figures(sides: dict[str, Side]) -> dict[str, Any]:
    """Medians and ranges of the ratios within rounds."""
    results: dict[str, Any] = {"ratio_rounds": ROUNDS, "ratio_requests_per_round": SLICES * SLICE}
    plain = sides[BARE]
    for name, key in ((KNOWN, "known_user"), (FRESH, "fresh_events")):
        for concurrency, suffix in ((CONCURRENCY, ""), (CROWD, f"_c{CROWD}")):
            rates = sides[name].per_cpu_second[concurrency], plain.per_cpu_second[concurrency]
            results |= paired(f"ratio_{key}{suffix}", *rates)
    results |= paired(f"p99_ratio_c{CROWD}", sides[KNOWN].p99_ms[CROWD], plain.p99_ms[CROWD])
    for name, side in sides.items():
        results[f"ratio_{name}_per_cpu_second"] = round(statistics.median(side.per_cpu_second[CONCURRENCY]))
        results[f"ratio_{name}_p99_ms_c16"] = round(statistics.median(side.p99_ms[CROWD]), 2)
        results[f"ratio_{name}_failed"] = side.failed
        results[f"ratio_{name}_paths"] = dict(side.paths)
    return results
