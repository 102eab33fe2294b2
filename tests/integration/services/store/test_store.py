"""The feedback store on SQLite and on PostgreSQL: what is kept, what is found again, what is forgotten."""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from services.store import Acknowledged, Erasure, Impression, KeyConflict, NewEvent, PostedItem, PostedUser, Store
from services.store.impressions import ImpressionRetention
from services.store.schema import IMPRESSIONS, METADATA
from tests.support.postgres import new_schema
from tierrec_core.base.errors import DataError

pytest_plugins = ["tests.support.stores"]

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


def event(key: str, user_id: str = "u", item_id: str = "i", **changes) -> NewEvent:
    given = {"key": key, "user_id": user_id, "item_id": item_id, "event": "purchase", "timestamp": NOW}
    return NewEvent(**given | changes)


def impression(request_id: str, user_id: str | None = "u", **changes) -> Impression:
    shown = {"surface": "products", "items": ("a", "ü"), "path": "blend", "model_version": "m", "at": NOW}
    return Impression(**{"request_id": request_id, "user_id": user_id} | shown | changes)


def test_an_event_comes_back_as_it_was(store: Store) -> None:
    west = (NOW - timedelta(days=20_000)).astimezone(timezone(timedelta(hours=-7)))
    full = event("k", "ü'\";--", "🛒", timestamp=west, value=0.1, quantity=-2.0, session_id="s", channel="web")
    store.add_events([full, event("bare", request_id="r")])
    first, second = store.events_after(0, 10)
    assert NewEvent(**{name: getattr(first, name) for name in vars(full)}) == full
    assert (second.key, second.request_id, second.value, second.session_id) == ("bare", "r", None, None)
    assert abs(first.received_at - datetime.now(UTC)) < timedelta(hours=1)
    assert first.id < second.id == store.last_event_id()


def test_the_first_of_one_key_is_kept(store: Store) -> None:
    assert store.add_events([event("a"), event("b"), event("a")]) == Acknowledged(2, 1)
    assert store.add_events([event("b", "other"), event("c")]) == Acknowledged(1, 0, (KeyConflict(0, "b"),))
    assert store.add_events([]) == Acknowledged(0, 0)
    assert [(one.key, one.user_id) for one in store.events_after(0, 10)] == [("a", "u"), ("b", "u"), ("c", "u")]


def test_keys_are_a_set_whatever_the_batches(store: Store) -> None:
    @given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6), max_size=6))
    def holds(batches: list[list[str]]) -> None:
        start = store.last_event_id()
        met: dict[str, str] = {}
        for number, batch in enumerate(batches):
            keys = [f"{start}-{letter}" for letter in batch]
            new = set(keys) - met.keys()
            items = [f"{number}-{place}" for place in range(len(keys))]
            done = store.add_events([event(key, item_id=item) for key, item in zip(keys, items, strict=True)])
            met = dict(reversed(list(zip(keys, items, strict=True)))) | met
            others = [place for place, key in enumerate(keys) if met[key] != items[place]]
            assert done == Acknowledged(len(new), 0, tuple(KeyConflict(place, keys[place]) for place in others))
        assert {one.key: one.item_id for one in store.events_after(start, 1000)} == met
        assert store.last_event_id() - start >= len(met)

    holds()


@pytest.mark.parametrize("name", [name for name in vars(event("k")) if name != "key"])
def test_one_key_with_another_value_of_any_field_is_a_conflict(store: Store, name: str) -> None:
    other = {"timestamp": NOW + timedelta(microseconds=1), "value": 0.5, "quantity": 2.0}.get(name, "other")
    assert store.add_events([event("k"), event("k", **{name: other})]) == Acknowledged(1, 0, (KeyConflict(1, "k"),))
    west = NOW.astimezone(timezone(timedelta(hours=-7)))
    assert store.add_events([event("k", timestamp=west), event("k", timestamp=None)]) == Acknowledged(0, 2)
    assert [getattr(one, name) for one in store.events_after(0, 10)] == [getattr(event("k"), name)]


def test_a_refused_batch_leaves_nothing(store: Store) -> None:
    with pytest.raises(DataError, match="value of a NewEvent is inf"):
        store.add_events([event("a"), event("b", value=float("inf"))])
    assert store.events_after(0, 10) == []


def test_a_users_newest_events_come_oldest_first(store: Store) -> None:
    store.add_events([event(f"k{day}", timestamp=NOW + timedelta(days=day)) for day in (3, 1, 2, 0)])
    store.add_events([event("other", "v")])
    assert [one.key for one in store.events_of("u", 3)] == ["k1", "k2", "k3"]
    assert store.events_of("nobody", 3) == []


def test_an_answer_is_found_by_its_request(store: Store) -> None:
    full = impression("r1", variant="v", experiment="e", propensity=0.25)
    visitor = impression("r2", None, items=())
    assert store.add_impressions([full, visitor, full]) == 2
    assert store.add_impressions([impression("r1", "later")]) == 0
    assert (store.impression("r1"), store.impression("r2")) == (full, visitor)
    assert store.impression("r3") is None


def test_old_answers_are_pruned(store: Store) -> None:
    store.add_impressions([impression(f"r{hour}", at=NOW + timedelta(hours=hour)) for hour in range(5)])
    assert store.prune(NOW + timedelta(hours=3)) == 3
    assert [store.impression(f"r{hour}") is None for hour in range(5)] == [True] * 3 + [False] * 2


def test_retention_deletes_old_impressions_in_the_background_until_it_is_closed(store: Store) -> None:
    now = datetime.now(UTC)
    ages = {f"r{number}": now - timedelta(days=8 if number < 2_500 else 6) for number in range(2_600)}
    store.add_impressions([impression(name, at=at) for name, at in ages.items()])
    with contextlib.closing(ImpressionRetention(store, days=7, interval_seconds=0.05)):
        until(lambda: count_impressions(store) == 100)
        store.add_impressions([impression("late", at=now - timedelta(days=9))])
        until(lambda: store.impression("late") is None)
    assert store.impression("r2500") is not None
    store.add_impressions([impression("later", at=now - timedelta(days=9))])
    time.sleep(0.2)
    assert store.impression("later") is not None


def test_events_are_written_between_the_transactions_of_a_prune(store: Store) -> None:
    store.add_impressions([impression(f"r{number}") for number in range(5_000)])
    with contextlib.closing(ImpressionRetention(store, days=1)):
        before = []
        while count_impressions(store):
            store.add_events([event(f"k{len(before)}")])
            before.append(count_impressions(store))
    assert len(set(before)) > 2


def count_impressions(store: Store) -> int:
    with store.database.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(IMPRESSIONS)))


def until(holds: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("not within 20 s")


def test_posts_replace_and_revisions_grow(store: Store) -> None:
    attributes = {"title": "Mölk", "price": 1.5, "tags": ["a"], "vector": [0.5, 1], "nul": "\x00", "none": None}
    first = store.put_items([PostedItem("a", {}), PostedItem("b", attributes), PostedItem("a", {"stock": 3})])
    met = store.items_after(0, 10)
    assert {item.item_id: item.attributes for item in met} == {"a": {"stock": 3}, "b": attributes}
    assert store.put_items([PostedItem("a", {"stock": 2})]) > first
    assert [(item.item_id, item.attributes) for item in store.items_after(first, 10)] == [("a", {"stock": 2})]
    assert [item.item_id for item in store.items_after(0, 1)] == ["b"]
    store.put_users([PostedUser("u", {"plan": "gold"})])
    assert [(user.user_id, user.attributes) for user in store.users_after(0, 10)] == [("u", {"plan": "gold"})]


def test_a_revision_is_never_given_twice(store: Store) -> None:
    newest = store.put_users([PostedUser("a", {}), PostedUser("b", {})])
    store.erase_user("b", "hash")
    assert store.put_users([PostedUser("c", {})]) > newest


def test_everything_that_workers_must_hear_of_rings(store: Store) -> None:
    def rings(act, *arguments) -> int:
        before = store.changes.count
        act(*arguments)
        return store.changes.count - before

    assert rings(store.add_events, [event("a")]) == 1
    assert rings(store.add_events, [event("a")]) == 1
    assert rings(store.put_items, [PostedItem("i", {})]) == 1
    assert rings(store.put_users, [PostedUser("u", {})]) == 1
    assert rings(store.erase_user, "u", "hash") == 1
    assert rings(store.add_impressions, [impression("r")]) == 0


def test_workers_of_one_store_share_its_change_counter(tmp_path: Path, postgres: str) -> None:
    for url in (f"sqlite:///{tmp_path / 'feedback.db'}", new_schema(postgres)):
        with (
            contextlib.closing(Store.open(url, tmp_path)) as one,
            contextlib.closing(Store.open(url, tmp_path)) as other,
        ):
            heard = other.changes.count
            one.add_events([event("a")])
            assert other.changes.count == heard + 1


def everything(store: Store) -> str:
    with store.database.reading() as connection:
        return repr([connection.execute(select(table)).all() for table in METADATA.sorted_tables])


def test_an_erased_user_is_in_no_table_and_no_file(store: Store) -> None:
    """With this seed SQLite leaves copies of two erased ids where it has moved rows between pages."""
    rng = np.random.default_rng(5)
    users = [f"person-{rng.bytes(4).hex()}" for _ in range(400)]
    for batch in range(8):
        drawn = rng.choice(users, 500)
        store.add_events([event(f"{batch}-{row}", user, "i" * (row % 60)) for row, user in enumerate(drawn)])
        store.put_users([PostedUser(user, {"name": "x" * (row % 300)}) for row, user in enumerate(drawn[:150])])
    store.add_impressions([impression(user, user) for user in users])
    sizes = [len(store.events_of(user, 1000)) for user in users[:20]]
    others = {user: len(store.events_of(user, 1000)) for user in users[20:]}
    for user, size in zip(users[:20], sizes, strict=True):
        done = store.erase_user(user, f"hash of {users.index(user)}")
        assert (done.events, done.impressions) == (size, 1)
    assert store.purge_erased(5.0)
    held = everything(store) + "".join(files_of(store))
    assert [user for user in users[:20] if user in held] == []
    assert {user: len(store.events_of(user, 1000)) for user in users[20:]} == others
    assert [one.user_hash for one in store.erasures_after(0)] == [f"hash of {row}" for row in range(20)]


def files_of(store: Store) -> Iterator[str]:
    """The bytes of all files of a SQLite store."""
    if store.database.path is not None:
        for path in store.database.path.parent.iterdir():
            yield path.read_bytes().decode("latin-1")


def test_an_erasure_says_which_events_it_took(store: Store) -> None:
    store.add_events([event("a"), event("b", "v")])
    last = store.last_event_id()
    is_complete = store.database.path is None  # SQLite's file is to be purged
    assert store.erase_user("v", "hash") == Erasure(events=1, impressions=0, users=0, complete=is_complete)
    store.add_events([event("b", "v")])
    (erasure,) = store.erasures_after(0)
    assert erasure.last_event_id == store.events_after(0, 1)[0].id < last
    assert [one.id > last for one in store.events_of("v", 10)] == [True]
    assert store.erasures_after(erasure.id) == []
