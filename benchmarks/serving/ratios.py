"""Part `ratios`: requests for each second of server CPU, and p99, against the bare service, turn and turn about."""

import asyncio
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.serving.family import Family
from benchmarks.serving.harness import questions
from benchmarks.serving.harness.load import Load, drive
from benchmarks.serving.harness.servers import Bench, bare, port_of
from benchmarks.serving.report import paired
from services.deployment.server import Server

ROUNDS, SLICES, SLICE, WARM_UP = 6, 4, 500, 1500
CONCURRENCY, CROWD = 4, 16
NUM_FRESH, EVENTS_EACH = 300, 4
_SETTLE_SECONDS = 0.3  # what an answer leaves behind, such as an impression, is written within this
BARE, KNOWN, FRESH = "bare", "known", "fresh"


@dataclass
class Side:
    """One of those that are compared: a server of its own, who asks it, and by concurrency what its rounds gave."""

    server: Server
    users: Sequence[str]
    per_cpu_second: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    p99_ms: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    paths: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    failed: int = 0

    async def ask(self, concurrency: int, count: int) -> Load:
        """So many requests for lists."""
        requests = questions.lists(self.users, count, self.asked)
        load = await drive(port_of(self.server), requests, concurrency, questions.path_in)
        self.asked += count
        self.paths.update(load.seen)
        self.failed += load.num_failed
        return load

    def note(self, concurrency: int, loads: Sequence[Load], cpu_seconds: float) -> None:
        """What a round gave."""
        latencies = [latency for load in loads for latency in load.latencies]
        self.p99_ms[concurrency].append(1000 * float(np.percentile(latencies, 99)))
        self.per_cpu_second[concurrency].append(sum(load.num_requests for load in loads) / cpu_seconds)


def run(bench: Bench) -> dict[str, Any]:
    """Start all three, post fresh events, and play the rounds."""
    fresh, known = bench.users[:NUM_FRESH], bench.users[NUM_FRESH:]
    posts = questions.batches(questions.events(fresh, bench.items, EVENTS_EACH, seed=0), 500)
    with bare() as plain, bench.serving() as ours, bench.serving() as moved:
        sides = {BARE: Side(plain, known), KNOWN: Side(ours, known), FRESH: Side(moved, fresh)}
        asyncio.run(_play(sides, posts))
    return figures(sides)


async def _play(sides: dict[str, Side], posts: Iterator[bytes]) -> None:
    told = await drive(port_of(sides[FRESH].server), posts, 1)
    if told.num_failed:
        raise RuntimeError(f"events were not taken: {dict(told.failures)}")
    for side in sides.values():
        await side.ask(CONCURRENCY, WARM_UP)
    for number in range(ROUNDS):
        for concurrency in (CONCURRENCY, CROWD):
            await _round(sides, concurrency, number)


async def _round(sides: dict[str, Side], concurrency: int, number: int) -> None:
    """Slices by turns, so that whatever else the machine does hits all alike; who begins changes with the number."""
    families = {name: Family(side.server.process) for name, side in sides.items()}
    before = {name: family.cpu_seconds() for name, family in families.items()}
    loads: dict[str, list[Load]] = {name: [] for name in sides}
    names = list(sides)
    for turn in range(SLICES * len(names)):
        name = names[(turn + number) % len(names)]
        loads[name].append(await sides[name].ask(concurrency, SLICE))
    await asyncio.sleep(_SETTLE_SECONDS)
    for name, side in sides.items():
        side.note(concurrency, loads[name], families[name].cpu_seconds() - before[name])


def figures(sides: dict[str, Side]) -> dict[str, Any]:
    """Medians of the ratios of rounds that were played side by side, and their spread."""
    told: dict[str, Any] = {"ratio_rounds": ROUNDS, "ratio_requests_per_round": SLICES * SLICE}
    plain = sides[BARE]
    for name, key in ((KNOWN, "known_user"), (FRESH, "fresh_events")):
        for concurrency, suffix in ((CONCURRENCY, ""), (CROWD, f"_c{CROWD}")):
            rates = sides[name].per_cpu_second[concurrency], plain.per_cpu_second[concurrency]
            told |= paired(f"ratio_{key}{suffix}", *rates)
    told |= paired(f"p99_ratio_c{CROWD}", sides[KNOWN].p99_ms[CROWD], plain.p99_ms[CROWD])
    for name, side in sides.items():
        told[f"ratio_{name}_per_cpu_second"] = round(statistics.median(side.per_cpu_second[CONCURRENCY]))
        told[f"ratio_{name}_p99_ms_c16"] = round(statistics.median(side.p99_ms[CROWD]), 2)
        told[f"ratio_{name}_failed"] = side.failed
        told[f"ratio_{name}_paths"] = dict(side.paths)
    return told
