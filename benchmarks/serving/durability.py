"""Part `events`: what was acknowledged outlives SIGKILL, once, on SQLite and on PostgreSQL.

The application runs under uvicorn, without the Bento around it, since it is started 21 times on each: the way from
a request to the store is the same.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from benchmarks.serving.harness import questions
from benchmarks.serving.harness.application import serve
from benchmarks.serving.harness.servers import Bench
from benchmarks.serving.storm import Event, Posters, Victim, compare
from services.deployment.server import free_port
from services.store import Store
from tests.support.postgres import new_schema, running

EVENTS, KILLS, LARGEST_BATCH, POSTERS = 50_000, 20, 50, 4
_SEED = 20


def run(bench: Bench) -> dict[str, Any]:
    """The same storm on both databases: the sums, and each beside them."""
    with tempfile.TemporaryDirectory(prefix="tierrec-storm-") as name, running() as postgres:
        folder = Path(name)
        urls = {"sqlite": f"sqlite:///{folder / 'feedback.db'}", "postgresql": new_schema(postgres)}
        found = {kind: _storm(bench, folder / kind, url) for kind, url in urls.items()}
    told: dict[str, Any] = {"events_server": "the application under uvicorn, without BentoML"}
    for key in found["sqlite"]:
        told[f"events_{key}"] = sum(one[key] for one in found.values())
        told |= {f"events_{key}_{kind}": one[key] for kind, one in found.items()}
    return told


def _storm(bench: Bench, folder: Path, url: str) -> dict[str, int]:
    """Post all events while the service is killed and started again; then compare with what the store holds."""
    folder.mkdir()
    rng = np.random.default_rng(_SEED)
    posters = Posters(free_port(), list(_batches(bench, rng)))
    victim = Victim(serve, bundle=bench.layout.bundle, folder=folder, port=posters.port, store_url=url)
    victim.start()
    try:
        asyncio.run(_weather(posters, victim, rng))
    finally:
        deaths = victim.deaths
        victim.kill()
    return {"kills": deaths, "retries": posters.retries, "repeated": posters.repeated} | compare(
        posters.told, kept_in(url)
    )


def kept_in(url: str) -> dict[str, int]:
    """How often the store holds each event, by the number that it carries as session_id."""
    store = Store.open(url)
    try:
        with store.database.reading() as connection:
            rows = connection.execute(text("select session_id, count(*) from events group by session_id"))
            return {str(number): int(count) for number, count in rows}
    finally:
        store.close()


def _batches(bench: Bench, rng: np.random.Generator) -> Iterator[list[Event]]:
    """EVENTS events in batches of 1 to 50. session_id numbers them, so that a copy is found whatever its key."""
    users = [bench.users[number] for number in rng.integers(len(bench.users), size=EVENTS)]
    posted = [
        one | {"key": f"storm {number}", "session_id": str(number)}
        for number, one in enumerate(questions.events(users, bench.items, 1, seed=_SEED))
    ]
    first = 0
    while first < len(posted):
        size = int(rng.integers(1, LARGEST_BATCH + 1))
        yield posted[first : first + size]
        first += size


async def _weather(posters: Posters, victim: Victim, rng: np.random.Generator) -> None:
    """Kill at random moments, told by how many events are acknowledged; the last come when no more kills do."""
    moments = np.sort(rng.choice(EVENTS * 9 // 10, KILLS, replace=False))
    posting = asyncio.ensure_future(posters.post_all(POSTERS))
    for moment in moments:
        while len(posters.told) < moment and not posting.done():
            victim.check()
            await asyncio.sleep(0.001)
        await asyncio.sleep(rng.uniform(0, 0.01))
        victim.kill()
        victim.start()
    await posting
