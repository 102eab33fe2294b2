"""What the store has acknowledged outlives SIGKILL, once; who tails it by id sees everything, in order."""

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

from services.store import NewEvent, Store

pytest_plugins = ["tests.support.stores"]

FORK = multiprocessing.get_context("fork")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NUM_EVENTS, KILLS, LARGEST_BATCH = 400, 6, 5
THREADS, PROCESSES, EACH = 4, 2, 60


def events(names: list[str]) -> list[NewEvent]:
    return [NewEvent(key=f"key of {name}", user_id="u", item_id=name, event="view", timestamp=NOW) for name in names]


def post(url: str, names: list[str], seed: int, acknowledged: Connection) -> None:
    """Add in small batches, telling the names of each once it is acknowledged."""
    rng = random.Random(seed)
    with contextlib.closing(Store.open(url)) as store:
        while names:
            size = rng.randint(1, LARGEST_BATCH)
            store.add_events(events(names[:size]))
            acknowledged.send(names[:size])
            names = names[size:]
    acknowledged.close()


@contextlib.contextmanager
def posting(url: str, names: list[str], seed: int) -> Iterator[tuple[int, Connection]]:
    """A process that posts, and the end of the pipe at which its acknowledgements come out."""
    here, there = FORK.Pipe(duplex=False)
    poster = FORK.Process(target=post, args=(url, names, seed, there))
    poster.start()
    there.close()
    try:
        yield int(poster.pid or 0), here
    finally:
        here.close()
        poster.join()


def received(pipe: Connection) -> Iterator[list[str]]:
    """All that comes out until the poster is done or dead."""
    with contextlib.suppress(EOFError):
        while True:
            yield pipe.recv()


def test_what_is_acknowledged_outlives_sigkill_once(store_url: str) -> None:
    rng = random.Random(20)
    names = [f"item {number}" for number in range(NUM_EVENTS)]
    told: list[str] = []
    for seed in range(KILLS):
        left = [name for name in names if name not in set(told)]
        with posting(store_url, left, seed) as (pid, pipe):
            for _ in range(rng.randint(1, NUM_EVENTS // LARGEST_BATCH // KILLS)):
                told += pipe.recv()
            time.sleep(rng.uniform(0, 0.002))
            os.kill(pid, signal.SIGKILL)
            told += [name for batch in received(pipe) for name in batch]
        with contextlib.closing(Store.open(store_url)) as store:
            kept = [one.item_id for one in store.events_after(0, NUM_EVENTS * 2)]
        assert set(told) <= set(kept)
    assert len(set(told)) < NUM_EVENTS
    with posting(store_url, [name for name in names if name not in set(told)], KILLS) as (_, pipe):
        told += [name for batch in received(pipe) for name in batch]
    with contextlib.closing(Store.open(store_url)) as store:
        kept = [one.item_id for one in store.events_after(0, NUM_EVENTS * 2)]
    assert sorted(kept) == sorted(names) == sorted(told)


def add_one_by_one(store: Store, name: str) -> None:
    for number in range(EACH):
        store.add_events(events([f"{name} {number} {part}" for part in range(1 + number % 3)]))


def add_in_a_process(url: str, folder: Path, name: str) -> None:
    with contextlib.closing(Store.open(url, folder)) as store:
        add_one_by_one(store, name)


def tail(store: Store, is_over: Thread) -> list[int]:
    """Ids in the order in which a reader that polls only after an increment sees them."""
    seen, heard = [0], -1
    while (busy := is_over.is_alive()) or heard != store.changes.count:
        rung = store.changes.count
        if rung != heard:
            while new := store.events_after(seen[-1], 7):
                seen += [one.id for one in new]
            heard = rung
        elif busy:
            os.sched_yield()
    return seen[1:]


def test_a_tail_led_by_the_change_counter_misses_nothing(store_url: str, tmp_path: Path) -> None:
    processes = [
        FORK.Process(target=add_in_a_process, args=(store_url, tmp_path, f"process {number}"))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    with contextlib.closing(Store.open(store_url, tmp_path)) as store:
        threads = [Thread(target=add_one_by_one, args=(store, f"thread {number}")) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        over = Thread(target=lambda: [one.join() for one in (*threads, *processes)])
        over.start()
        seen = tail(store, over)
        kept = [one.id for one in store.events_after(0, 100_000)]
    assert seen == kept == sorted(set(kept))
    assert len(kept) == (THREADS + PROCESSES) * sum(1 + number % 3 for number in range(EACH))
