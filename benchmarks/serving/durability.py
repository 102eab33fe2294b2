"""Part `events`: acknowledged events survive SIGKILL without duplicates, on SQLite and on PostgreSQL.

The application runs under uvicorn without BentoML, since it is started 21 times on each; the path from a request to
the store is the same.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from benchmarks.serving.crash_test import Event, EventPoster, KillableServer, compare
from benchmarks.serving.harness import payloads
from benchmarks.serving.harness.application import serve
from benchmarks.serving.harness.servers import Bench
from services.deployment.server import free_port
from services.store import Store
from tests.support.postgres import new_schema, running

EVENTS, KILLS, LARGEST_BATCH, CONNECTIONS = 50_000, 20, 50, 4
_SEED = 20


def run(bench: Bench) -> dict[str, Any]:
    """The same test on both databases: the sums, and the figures of each."""
    with tempfile.TemporaryDirectory(prefix="tierrec-crash-") as name, running() as postgres:
        folder = Path(name)
        urls = {"sqlite": f"sqlite:///{folder / 'feedback.db'}", "postgresql": new_schema(postgres)}
        by_database = {kind: _measure(bench, folder / kind, url) for kind, url in urls.items()}
    figures: dict[str, Any] = {"events_server": "the application under uvicorn, without BentoML"}
    for key in by_database["sqlite"]:
        figures[f"events_{key}"] = sum(counts[key] for counts in by_database.values())
        figures |= {f"events_{key}_{kind}": counts[key] for kind, counts in by_database.items()}
    return figures


def _measure(bench: Bench, folder: Path, url: str) -> dict[str, int]:
    """Post all events while the service is killed and restarted; then compare them with the store's content."""
    folder.mkdir()
    rng = np.random.default_rng(_SEED)
    poster = EventPoster(free_port(), list(_batches(bench, rng)))
    server = KillableServer(serve, bundle=bench.layout.bundle, folder=folder, port=poster.port, store_url=url)
    server.start()
    try:
        asyncio.run(_post_and_kill(poster, server, rng))
    finally:
        num_kills = server.num_kills
        server.kill()
    return {"kills": num_kills, "retries": poster.retries, "repeated": poster.repeated} | compare(
        poster.acknowledged, stored_counts(url)
    )


def stored_counts(url: str) -> dict[str, int]:
    """Number of stored copies of each event, by its session_id."""
    store = Store.open(url)
    try:
        with store.database.reading() as connection:
            rows = connection.execute(text("select session_id, count(*) from events group by session_id"))
            return {str(number): int(count) for number, count in rows}
    finally:
        store.close()


def _batches(bench: Bench, rng: np.random.Generator) -> Iterator[list[Event]]:
    """EVENTS events in batches of 1 to 50; session_id numbers them, so that copies are counted whatever their key."""
    users = [bench.users[number] for number in rng.integers(len(bench.users), size=EVENTS)]
    posted = [
        event | {"key": f"storm {number}", "session_id": str(number)}
        for number, event in enumerate(payloads.events(users, bench.items, 1, seed=_SEED))
    ]
    first = 0
    while first < len(posted):
        size = int(rng.integers(1, LARGEST_BATCH + 1))
        yield posted[first : first + size]
        first += size


async def _post_and_kill(poster: EventPoster, server: KillableServer, rng: np.random.Generator) -> None:
    """Kill at random numbers of acknowledged events; the last tenth of the events is posted without kills."""
    moments = np.sort(rng.choice(EVENTS * 9 // 10, KILLS, replace=False))
    posting = asyncio.ensure_future(poster.post_all(CONNECTIONS))
    for moment in moments:
        while len(poster.acknowledged) < moment and not posting.done():
            server.check()
            await asyncio.sleep(0.001)
        await asyncio.sleep(rng.uniform(0, 0.01))
        server.kill()
        server.start()
    await posting
