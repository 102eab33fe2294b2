"""The counter counts every increment of every process, and a killed writer leaves it usable."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from services.store.change_counter import ChangeCounter

FORK = multiprocessing.get_context("fork")
RINGS, THREADS, PROCESSES = 2000, 2, 3


@pytest.fixture
def changes(tmp_path: Path) -> Iterator[ChangeCounter]:
    with contextlib.closing(ChangeCounter.open(tmp_path / "state" / "feedback.bell")) as opened:
        yield opened


def ring_in_threads(path: Path) -> None:
    own = ChangeCounter.open(path)
    threads = [Thread(target=lambda: [own.increment() for _ in range(RINGS)]) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ring_for_ever(path: Path) -> None:
    own = ChangeCounter.open(path)
    while True:
        own.increment()


def test_no_ring_of_any_thread_or_process_is_lost(changes: ChangeCounter, tmp_path: Path) -> None:
    ringers = [FORK.Process(target=ring_in_threads, args=(path_of(tmp_path),)) for _ in range(PROCESSES)]
    for ringer in ringers:
        ringer.start()
    for ringer in ringers:
        ringer.join()
    assert changes.count == RINGS * THREADS * PROCESSES


def test_a_ringer_that_is_killed_holds_no_lock(changes: ChangeCounter, tmp_path: Path) -> None:
    for _ in range(5):
        heard = changes.count
        ringer = FORK.Process(target=ring_for_ever, args=(path_of(tmp_path),))
        ringer.start()
        while changes.count < heard + 100:
            os.sched_yield()
        os.kill(int(ringer.pid or 0), signal.SIGKILL)
        ringer.join()
        last = changes.count
        changes.increment()
        assert changes.count == last + 1


def test_the_count_stays_in_the_file(tmp_path: Path) -> None:
    for rung in range(3):
        with contextlib.closing(ChangeCounter.open(path_of(tmp_path))) as opened:
            assert opened.count == rung
            opened.increment()


def test_two_counters_of_one_file_are_one(changes: ChangeCounter, tmp_path: Path) -> None:
    with contextlib.closing(ChangeCounter.open(path_of(tmp_path))) as other:
        other.increment()
        assert changes.count == 1


def test_a_counter_without_a_file_belongs_to_its_own_process_alone() -> None:
    with contextlib.closing(ChangeCounter.open(None)) as one, contextlib.closing(ChangeCounter.open(None)) as other:
        one.increment()
        assert (one.count, other.count) == (1, 0)


def path_of(folder: Path) -> Path:
    return folder / "state" / "feedback.bell"
