"""The feedback store: impressions, events, and posted items and users."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Self

from sqlalchemy import Connection, Select, Table, delete, func, select, update

from services.store.change_counter import ChangeCounter
from services.store.database import Database
from services.store.erased_files import ErasedFiles
from services.store.outcomes import OutcomeQueries
from services.store.records import (
    Acknowledged,
    Deletion,
    Erasure,
    ErasureRecord,
    Impression,
    KeyConflict,
    NewEvent,
    PostedItem,
    PostedUser,
    StoredEvent,
    StoreError,
    check_storable,
)
from services.store.schema import ERASURES, EVENTS, IMPRESSIONS, ITEMS, USERS

_PRUNE_ROWS, _PRUNE_PAUSE_SECONDS = 1_000, 0.1


@dataclass(frozen=True)
class Store(OutcomeQueries):
    """One shop's feedback. It is thread-safe; each worker process opens its own.

    Methods raise StoreError if the database fails; the call then has no effect.
    changes: incremented after each commit that other workers must read, that is all but impressions
    """

    changes: ChangeCounter
    erased_files: ErasedFiles

    @classmethod
    def open(cls, url: str, folder: Path | None = None, *, may_be_away: bool = False) -> Self:
        """Open the store at a URL, after creating or migrating it.

        Shops that share a PostgreSQL database have a schema each: `?options=-csearch_path%3DSHOP`.
        folder: holds the change counter of a PostgreSQL store; without one, the counter is of this process alone.
        SQLite's is in the folder of its file.
        may_be_away: a database that does not answer is opened later, when it does
        Raises SettingsError for a URL that is neither sqlite: nor postgresql:.
        """
        database = Database.open(url, may_be_away=may_be_away)
        if database.path is not None:
            counter = ChangeCounter.open(database.path.with_suffix(".bell"))
        else:
            counter = ChangeCounter.open(folder / "feedback.bell" if folder else None)
        return cls(database, counter, ErasedFiles(database))

    def close(self) -> None:
        """Close all connections and the change counter."""
        self.database.close()
        self.changes.close()

    def is_healthy(self) -> bool:
        """Whether the database answers."""
        try:
            self.last_event_id()
        except StoreError:
            return False
        return True

    def add_events(self, events: Sequence[NewEvent]) -> Acknowledged:
        """Store the events whose key is new in one transaction; they are on disk when this returns.

        An event that differs from the stored one of its key is an error in the answer, and the others are stored.
        Raises DataError, naming the field, for a NUL, a number that is not finite, or a time without a zone.
        """
        check_storable(events)
        received_at = datetime.now(UTC)
        times = {"received_at": received_at}
        rows = [vars(event) | {"timestamp": event.timestamp or received_at} | times for event in events]
        with self.database.writing() as connection:
            accepted = self.database.add_new(connection, EVENTS, rows)
            conflicts = _conflicts(connection, events) if accepted < len(events) else ()
        self.changes.increment()  # also for duplicates: their first writer may have died before its increment
        return Acknowledged(accepted, len(events) - accepted - len(conflicts), conflicts)

    def events_after(self, cursor: int, limit: int) -> list[StoredEvent]:
        """Return the first events whose id is above the cursor, in order of id.

        No event with a lower id can appear later.
        """
        query = select(EVENTS).where(EVENTS.c.id > cursor).order_by(EVENTS.c.id).limit(limit)
        return [StoredEvent(**row) for row in self._rows(query)]

    def events_of(self, user_id: str, limit: int) -> list[StoredEvent]:
        """Return the user's newest events, oldest first."""
        newest = (EVENTS.c.timestamp.desc(), EVENTS.c.id.desc())
        query = select(EVENTS).where(EVENTS.c.user_id == user_id).order_by(*newest).limit(limit)
        return [StoredEvent(**row) for row in reversed(self._rows(query))]

    def last_event_id(self) -> int:
        """Return the id of the newest event; 0 without events."""
        return int(self._rows(select(func.coalesce(func.max(EVENTS.c.id), 0).label("id")))[0]["id"])

    def add_impressions(self, impressions: Sequence[Impression], hash_user: Callable[[str], str] | None = None) -> int:
        """Store the impressions whose request_id is new; return how many. Raises DataError as add_events does.

        hash_user: as for erase_user; impressions from before a user's erasure are left out
        """
        check_storable(impressions)
        if not impressions:
            return 0
        with self.database.writing() as connection:
            since = ERASURES.c.at >= min(impression.at for impression in impressions)
            rows = connection.execute(select(ERASURES.c.user_hash, ERASURES.c.at).where(since))
            erased = {row.user_hash: row.at for row in rows} if hash_user else {}
            remaining = [answer for answer in impressions if not _is_erased(answer, erased, hash_user)]
            return self.database.add_new(
                connection, IMPRESSIONS, [vars(answer) | {"items": list(answer.items)} for answer in remaining]
            )

    def impression(self, request_id: str) -> Impression | None:
        """Return the impression of a request, if it is stored."""
        columns = [column for column in IMPRESSIONS.c if column.name != "id"]
        for row in self._rows(select(*columns).where(IMPRESSIONS.c.request_id == request_id)):
            return Impression(**{**row, "items": tuple(row["items"])})
        return None

    def put_items(self, items: Sequence[PostedItem], *, merge: bool = False) -> int:
        """Replace the items' attributes, or update them with merge=True; return the newest revision.

        Several posts of one item in a batch are applied in order. Raises DataError for attributes that are not JSON.
        """
        return self._put(ITEMS, "item_id", items, merge=merge)

    def put_users(self, users: Sequence[PostedUser], *, merge: bool = False) -> int:
        """Replace or update the users' attributes, as put_items does."""
        return self._put(USERS, "user_id", users, merge=merge)

    def delete_item(self, item_id: str) -> Deletion:
        """Delete what was posted of an item, which stays deleted until it is posted again, even if it never was."""
        return self._delete(ITEMS, "item_id", item_id, is_lasting=True)

    def delete_attributes(self, user_id: str) -> Deletion:
        """Delete what was posted of a user; their events and impressions stay."""
        return self._delete(USERS, "user_id", user_id, is_lasting=False)

    def items_after(self, revision: int, limit: int) -> list[PostedItem]:
        """Return the first items last posted after the revision, in order of revision."""
        query = select(ITEMS).where(ITEMS.c.revision > revision).order_by(ITEMS.c.revision).limit(limit)
        return [PostedItem(**row) for row in self._rows(query)]

    def users_after(self, revision: int, limit: int) -> list[PostedUser]:
        """Return the first users last posted after the revision, in order of revision."""
        query = select(USERS).where(USERS.c.revision > revision).order_by(USERS.c.revision).limit(limit)
        return [PostedUser(**row) for row in self._rows(query)]

    def erase_user(self, user_id: str, user_hash: str) -> Erasure:
        """Delete all rows of the user; user_hash stays, so that other workers forget the user too.

        Copies may stay in SQLite's files until `purge_erased`; PostgreSQL reuses the rows after its vacuum. To erase a
        user again of whom nothing was stored since is no new erasure, and tells whether the last one is complete.
        """
        with self.database.writing() as connection:
            posted = select(USERS.c.attributes).where(USERS.c.user_id == user_id)
            num_users = int(connection.scalar(posted) is not None)  # without attributes: those were deleted before
            events, impressions, users = (
                connection.execute(delete(table).where(table.c.user_id == user_id)).rowcount
                for table in (EVENTS, IMPRESSIONS, USERS)
            )
            erasure = _record_erasure(connection, user_hash, has_rows=bool(events or impressions or users))
        self.changes.increment()
        try:
            is_complete = self.erased_files.is_done(erasure)
        except StoreError:  # the rows are deleted all the same
            is_complete = False
        return Erasure(events, impressions, num_users, is_complete)

    def purge_erased(self, seconds: float) -> bool:
        """Remove copies of erased rows from SQLite's files, and return whether none is left. Raises StoreError.

        Rewrites the file if there were erasures since the last time, and writers wait for it.
        seconds: for which readers of the log are waited for in addition
        """
        return self.erased_files.purge(seconds)

    def erasures_after(self, cursor: int, limit: int = 10_000) -> list[ErasureRecord]:
        """Return the first erasures whose id is above the cursor, in order of id."""
        query = select(ERASURES).where(ERASURES.c.id > cursor).order_by(ERASURES.c.id).limit(limit)
        return [ErasureRecord(**row) for row in self._rows(query)]

    def prune(self, impressions_before: datetime, stop: Event | None = None) -> int:
        """Delete impressions shown before a time; return how many.

        Uses small transactions with pauses in between, so that other writers need not wait. stop: ends it early
        """
        old = select(IMPRESSIONS.c.id).where(IMPRESSIONS.c.at < impressions_before).limit(_PRUNE_ROWS)
        total = 0
        while ids := [row["id"] for row in self._rows(old)]:
            with self.database.writing() as connection:
                total += connection.execute(delete(IMPRESSIONS).where(IMPRESSIONS.c.id.in_(ids))).rowcount
            if (stop or Event()).wait(_PRUNE_PAUSE_SECONDS):
                break
        return total

    def _put(self, table: Table, key: str, posts: Sequence[PostedItem] | Sequence[PostedUser], *, merge: bool) -> int:
        """Rows are replaced rather than updated, so that each gets a new cursor."""
        check_storable(posts)
        ids = list(dict.fromkeys(vars(post)[key] for post in posts))
        with self.database.writing() as connection:
            is_posted = table.c[key].in_(ids)
            stored = connection.execute(select(table.c[key], table.c.attributes).where(is_posted)).tuples()
            attributes: dict[str, Mapping[str, Any] | None] = dict(stored.all()) if merge else {}
            for post in posts:
                before = attributes.get(vars(post)[key]) or {}
                merged = {**before, **(post.attributes or {})} if merge else post.attributes
                attributes[vars(post)[key]] = None if post.attributes is None else merged
            if ids:
                connection.execute(delete(table).where(is_posted))
                connection.execute(table.insert(), [{key: name, "attributes": attributes[name]} for name in ids])
            revision = connection.scalar(select(func.coalesce(func.max(table.c.revision), 0)))
        self.changes.increment()
        return int(revision or 0)

    def _delete(self, table: Table, key: str, name: str, *, is_lasting: bool) -> Deletion:
        """Replace a row by one without attributes, which tells other workers; is_lasting: also if there is none."""
        is_named = table.c[key] == name
        with self.database.writing() as connection:
            is_posted = connection.scalar(select(table.c.attributes).where(is_named)) is not None
            if is_posted or is_lasting:
                connection.execute(delete(table).where(is_named))
                connection.execute(table.insert().values({key: name, "attributes": None}))
        self.changes.increment()
        return Deletion(int(is_posted))

    def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        with self.database.reading() as connection:
            return [row._asdict() for row in connection.execute(query)]


def _conflicts(connection: Connection, events: Sequence[NewEvent]) -> tuple[KeyConflict, ...]:
    """The events that differ from the stored one of their key."""
    query = select(EVENTS).where(EVENTS.c.key.in_({event.key for event in events}))
    stored = {row.key: StoredEvent(**row._asdict()) for row in connection.execute(query)}
    return tuple(
        KeyConflict(index, event.key) for index, event in enumerate(events) if not stored[event.key].has_body_of(event)
    )


def _record_erasure(connection: Connection, user_hash: str, *, has_rows: bool) -> int:
    """Return the id of a new erasure, or of the user's last one, at a later time, if nothing was stored since.

    Its time changes since impressions from before may wait to be written.
    """
    now = datetime.now(UTC)
    last = select(func.max(ERASURES.c.id)).where(ERASURES.c.user_hash == user_hash)
    repeated = None if has_rows else connection.scalar(last)
    if repeated is not None:
        connection.execute(update(ERASURES).where(ERASURES.c.id == repeated).values(at=now))
        return int(repeated)
    last_event = select(func.coalesce(func.max(EVENTS.c.id), 0)).scalar_subquery()
    row = {"user_hash": user_hash, "last_event_id": last_event, "at": now}
    return int(connection.execute(ERASURES.insert().values(row).returning(ERASURES.c.id)).scalar_one())


def _is_erased(impression: Impression, erased: Mapping[str, datetime], hash_user: Callable[[str], str] | None) -> bool:
    """Whether the impression is from before its user's erasure; erased: time by hash."""
    if not erased or hash_user is None or impression.user_id is None:
        return False
    erased_at = erased.get(hash_user(impression.user_id))
    return erased_at is not None and impression.at <= erased_at
