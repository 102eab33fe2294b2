"""Recent events, posted items and users, and erasures, which the store holds and the models do not know yet.

Each worker keeps a copy in memory and compares the store's change counter before it answers, so that what any worker
has acknowledged is in the next answer of every other. Memory is bounded: the least recently active users are evicted,
and looked up in the store when they return.
"""

import contextlib
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, NamedTuple, TypeVar

from services.names import CLOCK_TOLERANCE
from services.store.records import PostedItem, PostedUser, StoredEvent, StoreError
from services.store.store import Store

_PAGE_ROWS = 5000
T = TypeVar("T")
_MAX_LOOK_UPS, _LOOK_UP_SECONDS = 4, 0.25  # look-ups at a time, and the wait for one of them
_RETRY_SECONDS = 1.0
_POLL_SECONDS = 2.0  # for commits that the counter misses: of a writer that died, or of another machine


class RecentEvent(NamedTuple):
    """One event of a user: its item, name, time (UTC), and number of pieces."""

    item_id: str
    event: str
    at: datetime
    quantity: float


class RecentActivity:
    """A worker's copy of recent activity. Safe to use from several threads."""

    def __init__(
        self,
        store: Store,
        since: datetime,
        hash_user: Callable[[str], str],
        *,
        is_trained: Callable[[str], bool] = lambda _: True,
        on_skip: Callable[[str, str], None] = lambda *_: None,
        max_users: int = 50_000,
        max_events: int = 100,
    ) -> None:
        """Read the store, if it answers; events before `since`, which the models know, are skipped.

        is_trained: whether the models know an item; all events of others are kept
        hash_user: the hash under which an erased user is stored
        on_skip: called with the kind and the reason of a row that cannot be applied
        """
        self.store, self.since, self._hash_user, self._on_skip = store, since, hash_user, on_skip
        self._is_trained = is_trained
        self._max_users, self._max_events = max_users, max_events
        self._events: OrderedDict[str, tuple[RecentEvent, ...]] = OrderedDict()
        self._has_evicted = False
        self._partial: set[str] = set()  # first seen after an eviction, so perhaps evicted themselves
        self._users: dict[str, Mapping[str, Any]] = {}
        self._items: dict[str, tuple[int, Mapping[str, Any] | None]] = {}  # by revision, ascending; None = deleted
        self._deleted: dict[str, int] = {}  # revision since which earlier attributes of an item are deleted
        self._erased: set[str] = set()
        self._has_read_erasures = False
        self._last_event = self._last_item = self._last_user = self._last_erasure = 0
        self._change_count, self._next_poll = -1, 0.0
        self._has_failed = False
        self._refresh_lock, self._lock = threading.Lock(), threading.Lock()
        self._look_ups = threading.BoundedSemaphore(_MAX_LOOK_UPS)
        with contextlib.suppress(StoreError):  # is_away tells, and each later refresh tries again
            self.refresh()

    def refresh(self) -> None:
        """Read what was committed since the last call; cheap if nothing was. Raises StoreError."""
        if self.is_current:
            return
        with self._refresh_lock:
            if self.is_current:  # another thread has read it in the meantime
                return
            count, failed = self.store.changes.count, True
            try:
                self._read_erasures()
                self._read_events()
                self._read_items()
                self._read_users()
                failed = False
            finally:
                wait = _RETRY_SECONDS if failed else _POLL_SECONDS
                self._has_failed, self._change_count, self._next_poll = failed, count, time.monotonic() + wait

    @property
    def is_away(self) -> bool:
        """Whether the store did not answer the last time, and nothing was committed since."""
        return self._has_failed and self.store.changes.count == self._change_count

    @property
    def is_current(self) -> bool:
        """Whether everything committed so far has been read; needs no access to the store."""
        return self.store.changes.count == self._change_count and time.monotonic() < self._next_poll

    def events_of(self, user_id: str) -> tuple[RecentEvent, ...]:
        """Return the user's newest events since `since`, oldest first."""
        events = self._events.get(user_id)
        if user_id in self._partial or (events is None and self._has_evicted):
            return self._look_up(user_id)
        return events or ()

    def holds(self, user_id: str | None) -> bool:
        """Whether all recent events of the user are in memory; if not, `events_of` queries the store."""
        is_evicted = self._has_evicted and user_id not in self._events
        return user_id is None or not (is_evicted or user_id in self._partial)

    def attributes_of(self, user_id: str) -> Mapping[str, Any] | None:
        """Return the posted attributes of a user; None for a user who was never posted."""
        return self._users.get(user_id)

    def is_erased(self, user_id: str) -> bool:
        """Whether the user was erased, or may have been, while the store has not answered since the start."""
        return not self._has_read_erasures or (bool(self._erased) and self._hash_user(user_id) in self._erased)

    @property
    def item_revision(self) -> int:
        """The revision of the newest posted item."""
        return self._last_item

    def items_since(self, revision: int) -> list[Mapping[str, Any]]:
        """Return the items posted after a revision, each once with all its attributes, in order of their last post."""
        with self._lock:
            newer = takewhile(lambda entry: entry[0] > revision, reversed(self._items.values()))
            return [item for _, item in newer if item is not None][::-1]

    def items_deleted_since(self, revision: int) -> list[str]:
        """Return the items whose attributes were deleted after a revision; some may have been posted again."""
        with self._lock:
            return [item_id for item_id, deleted_at in self._deleted.items() if deleted_at > revision]

    def _look_up(self, user_id: str) -> tuple[RecentEvent, ...]:
        """Read the user's events from the store, and keep them in memory if some of them are there already.

        While the store does not answer, those in memory are all.
        """
        in_memory = self._events.get(user_id, ())
        if self.is_away or not self._look_ups.acquire(timeout=_LOOK_UP_SECONDS):
            return in_memory
        try:
            stored = self.store.events_of(user_id, self._max_events)
        except StoreError:
            self._has_failed = True
            return in_memory
        finally:
            self._look_ups.release()
        events = tuple(recent for event in stored if (recent := self._recent(event)) is not None)
        with self._lock:
            if user_id in self._partial and self._events.get(user_id) is in_memory:  # else there are newer events
                self._partial.discard(user_id)
                self._events[user_id] = events
        return events

    def _read_events(self) -> None:
        while page := self.store.events_after(self._last_event, _PAGE_ROWS):
            with self._lock:
                for event in page:
                    self._apply("events", self._add_event, event)
            self._last_event = page[-1].id

    def _apply(self, kind: str, add: Callable[[T], None], row: T) -> None:
        """Add a row, or skip it, so that the rows after it are read whatever it holds."""
        try:
            add(row)
        except Exception as error:  # another program may have written anything
            self._on_skip(kind, f"it cannot be read: {type(error).__name__}")

    def _recent(self, event: StoredEvent) -> RecentEvent | None:
        """None for an impression, an old event, and one that cannot be applied, which is reported."""
        if event.event == "impression" or (event.timestamp < self.since and self._is_trained(event.item_id)):
            return None
        if event.timestamp > datetime.now(UTC) + CLOCK_TOLERANCE:
            self._on_skip("events", "its time lies in the future")
            return None
        try:
            quantity = 1.0 if event.quantity is None else float(event.quantity)
            return RecentEvent(sys.intern(event.item_id), sys.intern(event.event), event.timestamp, quantity)
        except (TypeError, ValueError) as error:  # SQLite's columns hold values of any type
            self._on_skip("events", f"it cannot be read: {type(error).__name__}")
            return None

    def _add_event(self, event: StoredEvent) -> None:
        recent = self._recent(event)
        if recent is None:
            return
        earlier = self._events.get(event.user_id)
        if earlier is None:
            earlier = self._events[event.user_id] = ()
            if self._has_evicted:
                self._partial.add(event.user_id)
            if len(self._events) > self._max_users:
                evicted, _ = self._events.popitem(last=False)
                self._partial.discard(evicted)
                self._has_evicted = True
        # A tuple, since most users have few events and a list or deque would take half a kilobyte each.
        self._events[event.user_id] = (*earlier, recent)[-self._max_events :]
        self._events.move_to_end(event.user_id)

    def _read_items(self) -> None:
        while page := self.store.items_after(self._last_item, _PAGE_ROWS):
            with self._lock:
                for item in page:
                    self._apply("items", self._add_item, item)
            self._last_item = page[-1].revision

    def _add_item(self, item: PostedItem) -> None:
        row = None if item.attributes is None else {**item.attributes, "item_id": item.item_id}
        _, before = self._items.pop(item.item_id, (0, None))
        if row is None or (before and before.keys() - row.keys()):  # it was deleted, and perhaps posted again
            self._deleted[item.item_id] = item.revision
        self._items[item.item_id] = item.revision, row

    def _read_users(self) -> None:
        while page := self.store.users_after(self._last_user, _PAGE_ROWS):
            for user in page:
                self._apply("users", self._add_user, user)
            self._last_user = page[-1].revision

    def _add_user(self, user: PostedUser) -> None:
        if user.attributes is None:
            self._users.pop(user.user_id, None)
        else:
            self._users[user.user_id] = {**user.attributes}

    def _read_erasures(self) -> None:
        while page := self.store.erasures_after(self._last_erasure, _PAGE_ROWS):
            hashes = {erasure.user_hash for erasure in page}
            self._erased |= hashes
            user_ids = (*self._events, *self._users)
            self._forget({user_id for user_id in user_ids if self._hash_user(user_id) in hashes})
            self._last_erasure = page[-1].id
        self._has_read_erasures = True

    def _forget(self, user_ids: set[str]) -> None:
        """Drop the data of erased users, and read their events since the erasure again from the store."""
        for user_id in user_ids:
            later = self.store.events_of(user_id, self._max_events) if user_id in self._events else []
            self._users.pop(user_id, None)
            self._partial.discard(user_id)
            self._events.pop(user_id, None)
            for event in later:
                if event.id <= self._last_event:
                    self._apply("events", self._add_event, event)
