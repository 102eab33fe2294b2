"""What the store knows and the model does not yet: fresh events, posted items and users, erasures.

Each worker keeps its own copy in memory and looks at the store's bell before it answers, so that what any worker has
acknowledged is in the next answer of every other. Memory is bounded: of users who acted longest ago nothing is kept,
and they are looked up in the store when they come back.
"""

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import takewhile
from typing import Any, NamedTuple

from services.store import Store, StoredEvent

_PAGE = 5000
_LOOK_SECONDS = 2.0  # for what no bell tells: a writer that died before it rang, or one on another machine


class RecentEvent(NamedTuple):
    """One event of a user: what it was done to, its name, when (UTC), and how many pieces."""

    item_id: str
    event: str
    at: datetime
    quantity: float


class RecentActivity:
    """A worker's view of the store. Safe to use from several threads."""

    def __init__(
        self,
        store: Store,
        since: datetime,
        hash_of: Callable[[str], str],
        *,
        max_users: int = 50_000,
        max_events: int = 100,
    ) -> None:
        """Catch up with the store; events from before `since`, which every model knows, are passed over.

        hash_of: gives the hash by which an erased user is remembered
        """
        self.store, self.since, self._hash_of = store, since, hash_of
        self._max_users, self._max_events = max_users, max_events
        self._events: OrderedDict[str, tuple[RecentEvent, ...]] = OrderedDict()
        self._forgot = False
        self._partial: set[str] = set()  # came back after somebody was forgotten, perhaps they themselves
        self._users: dict[str, Mapping[str, Any]] = {}
        self._items: dict[str, tuple[int, Mapping[str, Any]]] = {}  # by revision, ascending
        self._erased: set[str] = set()
        self._event = self._item = self._user = self._erasure = 0
        self._heard, self._next_look = -1, 0.0
        self._lock = threading.RLock()
        self.refresh()

    def refresh(self) -> None:
        """Take over what was committed since the last look; costs next to nothing when nothing was."""
        if self.is_current:
            return
        with self._lock:
            if self.is_current:  # another thread took it over while this one waited
                return
            count, now = self.store.bell.count, time.monotonic()
            self._read_erasures()
            self._read_events()
            self._read_items()
            self._read_users()
            self._heard, self._next_look = count, now + _LOOK_SECONDS

    @property
    def is_current(self) -> bool:
        """Whether everything committed so far has been read completely; needs no access to the store."""
        return self.store.bell.count == self._heard and time.monotonic() < self._next_look

    def events_of(self, user_id: str) -> tuple[RecentEvent, ...]:
        """The user's newest events since `since`, oldest first."""
        found = self._events.get(user_id)
        if user_id in self._partial or (found is None and self._forgot):
            return self._look_up(user_id)
        return found or ()

    def holds(self, user_id: str) -> bool:
        """Whether all fresh events of the user are in memory; if not, `events_of` queries the store."""
        return user_id not in self._partial and (user_id in self._events or not self._forgot)

    def attributes_of(self, user_id: str) -> Mapping[str, Any] | None:
        """What was posted about the user; None for somebody who never was."""
        return self._users.get(user_id)

    def is_erased(self, user_id: str) -> bool:
        """Whether the user asked to be forgotten."""
        return bool(self._erased) and self._hash_of(user_id) in self._erased

    @property
    def item_revision(self) -> int:
        """Of the newest post of an item."""
        return self._item

    def items_since(self, revision: int) -> list[Mapping[str, Any]]:
        """Items whose newest post is above the revision, each once with all its facts, in order of these posts."""
        with self._lock:
            newer = takewhile(lambda one: one[0] > revision, reversed(self._items.values()))
            return [row for _, row in newer][::-1]

    def _look_up(self, user_id: str) -> tuple[RecentEvent, ...]:
        """The user's events from the store; of somebody who is remembered in part, for good."""
        stored = self.store.events_of(user_id, self._max_events)
        events = tuple(
            _fresh(one) for one in stored if one.timestamp >= self.since and one.event != "impression"
        )
        with self._lock:
            if user_id in self._partial:
                self._partial.discard(user_id)
                self._events[user_id] = events
        return events

    def _read_events(self) -> None:
        while page := self.store.events_after(self._event, _PAGE):
            for event in page:
                self._keep(event)
            self._event = page[-1].id

    def _keep(self, event: StoredEvent) -> None:
        if event.event == "impression" or event.timestamp < self.since:
            return
        kept = self._events.get(event.user_id)
        if kept is None:
            kept = self._events[event.user_id] = ()
            if self._forgot:
                self._partial.add(event.user_id)
            if len(self._events) > self._max_users:
                forgotten, _ = self._events.popitem(last=False)
                self._partial.discard(forgotten)
                self._forgot = True
        # A tuple, since most users have few events, and half a kilobyte for each would be the most of it.
        self._events[event.user_id] = (*kept, _fresh(event))[-self._max_events :]
        self._events.move_to_end(event.user_id)

    def _read_items(self) -> None:
        while page := self.store.items_after(self._item, _PAGE):
            for one in page:
                self._items.pop(one.item_id, None)
                self._items[one.item_id] = one.revision, {**one.attributes, "item_id": one.item_id}
            self._item = page[-1].revision

    def _read_users(self) -> None:
        while page := self.store.users_after(self._user, _PAGE):
            for one in page:
                self._users[one.user_id] = one.attributes
            self._user = page[-1].revision

    def _read_erasures(self) -> None:
        while page := self.store.erasures_after(self._erasure, _PAGE):
            fresh = {one.user_hash for one in page}
            self._erased |= fresh
            self._erasure = page[-1].id
            self._forget({one for one in (*self._events, *self._users) if self._hash_of(one) in fresh})

    def _forget(self, user_ids: set[str]) -> None:
        """Drop what was known of these users; what they did after they were erased is in the store, and stays."""
        for user_id in user_ids:
            self._users.pop(user_id, None)
            self._partial.discard(user_id)
            if self._events.pop(user_id, None) is not None:
                for event in self.store.events_of(user_id, self._max_events):
                    if event.id <= self._event:
                        self._keep(event)


def _fresh(event: StoredEvent) -> RecentEvent:
    quantity = 1.0 if event.quantity is None else event.quantity
    return RecentEvent(sys.intern(event.item_id), sys.intern(event.event), event.timestamp, quantity)
