"""A worker's view of the store, against the store itself: what one worker commits, another sees at its next look."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import pytest

from services.store import Impression, NewEvent, PostedItem, PostedUser, Store, StoreError
from services.store.impressions import ImpressionWriter
from services.store.recent_events import RecentActivity
from services.store.records import StoredEvent

NOW = datetime(2024, 5, 1, tzinfo=UTC)
SINCE = NOW - timedelta(days=30)


def hash_user(user_id: str) -> str:
    return sha256(user_id.encode()).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'feedback.db'}")
    yield opened
    opened.close()


@pytest.fixture
def other(store: Store, tmp_path: Path) -> Iterator[Store]:
    """The same store as another worker has it open."""
    opened = Store.open(f"sqlite:///{tmp_path / 'feedback.db'}")
    yield opened
    opened.close()


def event(number: int, user: str = "u1", item: str = "i1", name: str = "view") -> NewEvent:
    at = NOW + timedelta(seconds=number)
    return NewEvent(key=f"{user}-{number}", user_id=user, item_id=item, event=name, timestamp=at)


def test_what_another_worker_commits_is_seen_at_the_next_look(store: Store, other: Store) -> None:
    live = RecentActivity(store, SINCE, hash_user)
    other.add_events([event(1), event(2, item="i2", name="cart")])
    other.put_items([PostedItem("new", {"title": "New"})])
    other.put_users([PostedUser("u9", {"plan": "gold"})])
    assert live.events_of("u1") == ()
    live.refresh()
    assert [(one.item_id, one.event) for one in live.events_of("u1")] == [("i1", "view"), ("i2", "cart")]
    assert live.items_since(0) == [{"title": "New", "item_id": "new"}]
    assert live.attributes_of("u9") == {"plan": "gold"}
    assert live.attributes_of("u1") is None


def test_a_worker_that_starts_knows_what_was_committed_before(store: Store, other: Store) -> None:
    other.add_events([event(1)])
    other.put_items([PostedItem("new", {"title": "New"})])
    live = RecentActivity(store, SINCE, hash_user)
    assert len(live.events_of("u1")) == 1
    assert live.items_since(0) == [{"title": "New", "item_id": "new"}]


def test_old_events_and_impressions_are_passed_over(store: Store) -> None:
    old = NewEvent(key="old", user_id="u1", item_id="i1", event="view", timestamp=SINCE - timedelta(days=1))
    store.add_events([old, event(1, name="impression"), event(2)])
    assert len(RecentActivity(store, SINCE, hash_user).events_of("u1")) == 1


def test_memory_is_bounded_and_the_forgotten_are_looked_up(store: Store) -> None:
    store.add_events([event(number, user=f"u{number % 5}") for number in range(50)])
    live = RecentActivity(store, SINCE, hash_user, max_users=3, max_events=4)
    assert len(live._events) == 3
    assert all(len(live.events_of(f"u{number}")) == 4 for number in range(5))
    assert live.events_of("u0")[-1].at == NOW + timedelta(seconds=45)


def test_erased_users_are_forgotten_but_may_begin_anew(store: Store, other: Store) -> None:
    store.add_events([event(1), event(2, user="u2")])
    live = RecentActivity(store, SINCE, hash_user)
    other.erase_user("u1", hash_user("u1"))
    other.add_events([event(3, item="i7")])
    live.refresh()
    assert live.is_erased("u1")
    assert not live.is_erased("u2")
    assert [one.item_id for one in live.events_of("u1")] == ["i7"]
    assert len(live.events_of("u2")) == 1
    started_later = RecentActivity(store, SINCE, hash_user)
    assert started_later.is_erased("u1")
    assert [one.item_id for one in started_later.events_of("u1")] == ["i7"]


class SlowStore(Store):
    """Reads new events only once it may; `is_asked` tells that it was asked for them."""

    is_asked, may_read = threading.Event(), threading.Event()

    def events_after(self, cursor: int, limit: int) -> list[StoredEvent]:
        self.is_asked.set()
        assert self.may_read.wait(30)
        return super().events_after(cursor, limit)


def test_a_store_that_is_being_read_is_not_away(tmp_path: Path) -> None:
    slow = SlowStore.open(f"sqlite:///{tmp_path / 'feedback.db'}")
    slow.add_events([event(1), event(2, user="u2")])
    slow.may_read.set()
    live = RecentActivity(slow, SINCE, hash_user, max_users=1)
    slow.may_read.clear()
    slow.is_asked.clear()
    live._next_poll = 0.0
    reader = threading.Thread(target=live.refresh)
    reader.start()
    try:
        assert slow.is_asked.wait(30)
        assert not live.is_away
        assert len(live.events_of("u1")) == 1, "who was evicted is looked up"
    finally:
        slow.may_read.set()
        reader.join()
        slow.close()


class FailingStore(Store):
    """Fails to read a user's events once."""

    failures: ClassVar[list[StoreError]] = []

    def events_of(self, user_id: str, limit: int) -> list[StoredEvent]:
        if self.failures:
            raise self.failures.pop()
        return super().events_of(user_id, limit)


def test_an_erasure_during_which_the_store_fails_is_applied_later(tmp_path: Path) -> None:
    failing = FailingStore.open(f"sqlite:///{tmp_path / 'feedback.db'}")
    with contextlib.closing(failing):
        failing.add_events([event(1), event(2, user="u2")])
        failing.put_users([PostedUser("u2", {"plan": "gold"})])
        live = RecentActivity(failing, SINCE, hash_user)
        for user in ("u1", "u2"):
            failing.erase_user(user, hash_user(user))
        failing.failures.append(StoreError("away"))
        with pytest.raises(StoreError):
            live.refresh()
        live._next_poll = 0.0
        live.refresh()
        assert (live.events_of("u1"), live.events_of("u2"), live.attributes_of("u2")) == ((), (), None)


def test_values_of_any_type_in_sqlite_stop_nothing(store: Store, tmp_path: Path) -> None:
    store.add_events([event(number, user=f"u{number % 2}") for number in range(3, 7)])
    with contextlib.closing(sqlite3.connect(tmp_path / "feedback.db")) as connection, connection:
        for number, column, value in ((1, "timestamp", "2024-01-01"), (2, "quantity", "abc"), (3, "item_id", b"i1")):
            connection.execute(f"update events set {column} = ? where id = ?", (value, number))
    skipped: list[tuple[str, str]] = []
    live = RecentActivity(store, SINCE, hash_user, on_skip=lambda *reason: skipped.append(reason))
    assert {user: len(live.events_of(user)) for user in ("u0", "u1")} == {"u0": 1, "u1": 0}
    assert len(skipped) == 2
    small = RecentActivity(store, SINCE, hash_user, max_users=1)
    store.add_events([event(8, user="u2")])
    small.refresh()
    assert {user: len(small.events_of(user)) for user in ("u0", "u1")} == {"u0": 1, "u1": 0}, "looked up"


def test_events_of_the_future_are_left_out_of_look_ups(store: Store) -> None:
    later = NewEvent(key="x", user_id="u1", item_id="i1", event="view", timestamp=datetime(2999, 1, 1, tzinfo=UTC))
    store.add_events([later, event(1), event(2, user="u2")])
    assert len(RecentActivity(store, SINCE, hash_user, max_users=1).events_of("u1")) == 1


def test_an_item_that_cannot_be_read_leaves_the_one_before(store: Store, tmp_path: Path) -> None:
    store.put_items([PostedItem("p", {"title": "Old"})])
    live = RecentActivity(store, SINCE, hash_user)
    with contextlib.closing(sqlite3.connect(tmp_path / "feedback.db")) as connection, connection:
        connection.execute("update items set attributes = '5', revision = revision + 1")
    live._next_poll = 0.0
    live.refresh()
    assert live.items_since(0) == [{"title": "Old", "item_id": "p"}]


def impression(number: int) -> Impression:
    shown = {"surface": "products", "items": ("i1", "i2"), "path": "blend", "model_version": "v1", "at": NOW}
    return Impression(request_id=f"r{number}", user_id="u1", **shown)


def test_impressions_reach_the_store_and_none_is_lost_at_the_end(store: Store) -> None:
    dropped: list[int] = []
    writer = ImpressionWriter(store, dropped.append)
    for number in range(1200):
        writer.put(impression(number))
    writer.close()
    assert writer.num_queued == 0
    assert dropped == []
    assert all(store.impression(f"r{number}") is not None for number in (0, 600, 1199))


def test_a_full_queue_drops_and_counts(store: Store) -> None:
    dropped: list[int] = []
    writer = ImpressionWriter(store, dropped.append, capacity=10)
    for number in range(2000):
        writer.put(impression(number))
    writer.close()
    kept = sum(store.impression(f"r{number}") is not None for number in range(2000))
    assert dropped
    assert kept + sum(dropped) == 2000


def test_an_impression_is_found_while_it_is_being_written(store: Store, tmp_path: Path) -> None:
    """Another process holds the lock of the database, so that the batch waits for it."""
    writer = ImpressionWriter(store, lambda _: None)
    with contextlib.closing(sqlite3.connect(tmp_path / "feedback.db", isolation_level=None)) as holder:
        holder.execute("begin immediate")
        for number in range(10):
            writer.put(impression(number))
        while not writer.lag_seconds:
            time.sleep(0.01)
        assert store.impression("r0") is None
        assert all(writer.find(f"r{number}") is not None for number in range(10))
        assert writer.num_queued == 10
    writer.close()
    assert all(store.impression(f"r{number}") is not None for number in range(10))
