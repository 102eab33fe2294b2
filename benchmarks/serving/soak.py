"""Part `soak`: memory of the worker over 200,000 requests of 50,000 users, who arrive in waves."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.serving.harness import payloads
from benchmarks.serving.harness.load import drive
from benchmarks.serving.harness.servers import Bench, port_of
from benchmarks.serving.process_tree import ProcessTree, slope

USERS, VISITS, CONCURRENCY = 50_000, 4, 8
WAVE = 500  # users who are active at the same time
_POSTING, _EVENTS_EACH = 25, 3
_PER, _REPORT_EVERY = 10_000, 10


def run(bench: Bench) -> dict[str, Any]:
    """Send all waves, and measure the memory after each."""
    with bench.serving() as server:
        return asyncio.run(_soak(bench, port_of(server), ProcessTree(server.process)))


async def _soak(bench: Bench, port: int, tree: ProcessTree) -> dict[str, Any]:
    """All known users come first, once, so that no page of the memory-mapped bundle is read later."""
    first = await drive(port, payloads.lists(bench.users, len(bench.users)), CONCURRENCY)
    counts, failed = [0], first.num_failed
    resident, private = [tree.resident_mib()], [tree.private_mib()]
    for number, users in enumerate(waves(bench)):
        posts = payloads.events(users[:_POSTING], bench.items, _EVENTS_EACH, number, f"soak {number}")
        loads = [
            await drive(port, payloads.batches(posts, 50), 1),
            await drive(port, payloads.lists(_visits(users, number), WAVE * VISITS), CONCURRENCY),
        ]
        failed += sum(load.num_failed for load in loads)
        counts.append(counts[-1] + sum(load.num_requests for load in loads))
        resident.append(tree.resident_mib())
        private.append(tree.private_mib())
    return {
        "soak_requests": counts[-1],
        "soak_users": USERS,
        "soak_failed_requests": failed,
        "soak_slope_mib_per_10k": round(slope(counts, resident, _PER), 3),
        "soak_private_slope_mib_per_10k": round(slope(counts, private, _PER), 3),
        "soak_mib": [round(size) for size in resident[::_REPORT_EVERY]],
        "soak_private_mib": [round(size) for size in private[::_REPORT_EVERY]],
    }


def waves(bench: Bench) -> Iterator[list[str]]:
    """All users in waves; known users are spread among many more unknown ones."""
    known = bench.users[:USERS]
    all_users = [*known, *(f"stranger {number}" for number in range(USERS - len(known)))]
    order = np.random.default_rng(0).permutation(USERS)
    for first in range(0, USERS, WAVE):
        yield [all_users[number] for number in order[first : first + WAVE]]


def _visits(users: list[str], seed: int) -> list[str]:
    """Each user VISITS times, in random order."""
    visits = np.repeat(np.arange(len(users)), VISITS)
    return [users[number] for number in np.random.default_rng(seed).permutation(visits)]
