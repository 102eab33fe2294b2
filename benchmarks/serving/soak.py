"""Part `soak`: 200,000 requests of 50,000 users who come and go, and what the worker's memory does meanwhile."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.serving.family import Family, slope
from benchmarks.serving.harness import questions
from benchmarks.serving.harness.load import drive
from benchmarks.serving.harness.servers import Bench, port_of

USERS, VISITS, CONCURRENCY = 50_000, 4, 8
WAVE = 500  # users who are there at the same time; new ones come during the whole run
_POSTING, _EVENTS_EACH = 25, 3
_PER, _SHOWN = 10_000, 10


def run(bench: Bench) -> dict[str, Any]:
    """Wave after wave, with a look at the memory after each."""
    with bench.serving() as server:
        return asyncio.run(_soak(bench, port_of(server), Family(server.process)))


async def _soak(bench: Bench, port: int, family: Family) -> dict[str, Any]:
    """Everybody whom the model knows comes first, once, so that no page of the mapped bundle is read later."""
    first = await drive(port, questions.lists(bench.users, len(bench.users)), CONCURRENCY)
    counts, failed = [0], first.num_failed
    resident, private = [family.resident_mib()], [family.private_mib()]
    for number, users in enumerate(waves(bench)):
        posts = questions.events(users[:_POSTING], bench.items, _EVENTS_EACH, number, f"soak {number}")
        loads = [
            await drive(port, questions.batches(posts, 50), 1),
            await drive(port, questions.lists(_visits(users, number), WAVE * VISITS), CONCURRENCY),
        ]
        failed += sum(load.num_failed for load in loads)
        counts.append(counts[-1] + sum(load.num_requests for load in loads))
        resident.append(family.resident_mib())
        private.append(family.private_mib())
    return {
        "soak_requests": counts[-1],
        "soak_users": USERS,
        "soak_failed_requests": failed,
        "soak_slope_mib_per_10k": round(slope(counts, resident, _PER), 3),
        "soak_private_slope_mib_per_10k": round(slope(counts, private, _PER), 3),
        "soak_mib": [round(size) for size in resident[::_SHOWN]],
        "soak_private_mib": [round(size) for size in private[::_SHOWN]],
    }


def waves(bench: Bench) -> Iterator[list[str]]:
    """All users in waves; those that the model knows are spread over them, among many more that it does not."""
    known = bench.users[:USERS]
    everybody = [*known, *(f"stranger {number}" for number in range(USERS - len(known)))]
    order = np.random.default_rng(0).permutation(USERS)
    for first in range(0, USERS, WAVE):
        yield [everybody[number] for number in order[first : first + WAVE]]


def _visits(users: list[str], seed: int) -> list[str]:
    """Each user VISITS times, in any order."""
    visits = np.repeat(np.arange(len(users)), VISITS)
    return [users[number] for number in np.random.default_rng(seed).permutation(visits)]
