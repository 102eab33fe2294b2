"""The feedback store: what users were shown and what they did, kept before it is acknowledged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Self

import pandas as pd
from sqlalchemy import Select, Table, delete, func, select

from services.store import outcomes
from services.store.change_counter import ChangeCounter
from services.store.database import Database
from services.store.errors import StoreError
from services.store.records import (
    Acknowledgement,
    Erased,
    ErasureRecord,
    Impression,
    NewEvent,
    PostedItem,
    PostedUser,
    StoredEvent,
    check,
)
from services.store.schema import ERASURES, EVENTS, IMPRESSIONS, ITEMS, USERS

_PRUNE_ROWS, _PRUNE_PAUSE_SECONDS = 1_000, 0.1


@dataclass(frozen=True)
class Store:
    """One shop's feedback. Any thread may call any method; each worker process opens its own.

    Methods raise StoreError when the database does not answer or refuses; nothing of that call is kept then.
    bell: rings after each commit that other workers must take in, which is all but impressions
    """

    database: Database
    bell: ChangeCounter

    @classmethod
    def open(cls, url: str, folder: Path | None = None) -> Self:
        """Open the store at a URL, making or migrating it first.

        Shops that share a PostgreSQL have a schema each: `?options=-csearch_path%3DSHOP`. folder: where the bell of a
        PostgreSQL store lies; without one, only this process hears it. SQLite's lies beside its file.
        Raises SettingsError for a URL that is neither sqlite: nor postgresql:.
        """
        database = Database.open(url)
        if database.path is not None:
            return cls(database, ChangeCounter.open(database.path.with_suffix(".bell")))
        return cls(database, ChangeCounter.open(folder / "feedback.bell" if folder else None))

    def close(self) -> None:
        """Close all connections and the bell."""
        self.database.close()
        self.bell.close()

    def is_healthy(self) -> bool:
        """Whether the database answers."""
        try:
            self.last_event_id()
        except StoreError:
            return False
        return True

    def add_events(self, events: Sequence[NewEvent]) -> Acknowledgement:
        """Keep the events whose key is new, in one transaction; on disk when this returns.

        Raises DataError, naming the field, for a NUL, a number that is not finite, or a time without a zone.
        """
        check(events)
        received_at = datetime.now(UTC)
        accepted = self._add(EVENTS, [vars(one) | {"received_at": received_at} for one in events])
        self.bell.ring()  # also for duplicates: whoever kept them first may have died before it rang
        return Acknowledgement(accepted, len(events) - accepted)

    def events_after(self, cursor: int, limit: int) -> list[StoredEvent]:
        """The first events whose id is above the cursor, in order of id.

        No event with a lower id than these can appear later.
        """
        query = select(EVENTS).where(EVENTS.c.id > cursor).order_by(EVENTS.c.id).limit(limit)
        return [StoredEvent(**row) for row in self._rows(query)]

    def events_of(self, user_id: str, limit: int) -> list[StoredEvent]:
        """The user's newest events, oldest of them first."""
        newest = (EVENTS.c.timestamp.desc(), EVENTS.c.id.desc())
        query = select(EVENTS).where(EVENTS.c.user_id == user_id).order_by(*newest).limit(limit)
        return [StoredEvent(**row) for row in reversed(self._rows(query))]

    def last_event_id(self) -> int:
        """The id of the newest event; 0 when there is none."""
        return int(self._rows(select(func.coalesce(func.max(EVENTS.c.id), 0).label("id")))[0]["id"])

    def add_impressions(
        self, impressions: Sequence[Impression], hash_of: Callable[[str], str] | None = None
    ) -> int:
        """Keep the answers whose request_id is new; how many these are. Raises DataError as add_events does.

        hash_of: as for erase_user; answers that were given to a user before they were erased are left out
        """
        check(impressions)
        if not impressions:
            return 0
        with self.database.writing() as connection:
            since = ERASURES.c.at >= min(one.at for one in impressions)
            rows = connection.execute(select(ERASURES.c.user_hash, ERASURES.c.at).where(since))
            erased = {row.user_hash: row.at for row in rows} if hash_of else {}
            kept = [one for one in impressions if not _is_erased(one, erased, hash_of)]
            return self.database.add_new(
                connection, IMPRESSIONS, [vars(one) | {"items": list(one.items)} for one in kept]
            )

    def impression(self, request_id: str) -> Impression | None:
        """The answer that was given to a request, if it was kept."""
        columns = [column for column in IMPRESSIONS.c if column.name != "id"]
        for row in self._rows(select(*columns).where(IMPRESSIONS.c.request_id == request_id)):
            return Impression(**{**row, "items": tuple(row["items"])})
        return None

    def put_items(self, items: Sequence[PostedItem], *, merge: bool = False) -> int:
        """Keep the items in place of earlier posts of them, or with merge over these; the newest revision.

        Of several posts of one item in a batch the last counts, or with merge the later over the earlier. Raises
        DataError for attributes that are not JSON.
        """
        return self._put(ITEMS, "item_id", items, merge=merge)

    def put_users(self, users: Sequence[PostedUser], *, merge: bool = False) -> int:
        """Keep the users, as put_items does."""
        return self._put(USERS, "user_id", users, merge=merge)

    def items_after(self, revision: int, limit: int) -> list[PostedItem]:
        """The first items whose newest post is above the revision, in order of revision."""
        query = select(ITEMS).where(ITEMS.c.revision > revision).order_by(ITEMS.c.revision).limit(limit)
        return [PostedItem(**row) for row in self._rows(query)]

    def users_after(self, revision: int, limit: int) -> list[PostedUser]:
        """The first users whose newest post is above the revision, in order of revision."""
        query = select(USERS).where(USERS.c.revision > revision).order_by(USERS.c.revision).limit(limit)
        return [PostedUser(**row) for row in self._rows(query)]

    def erase_user(self, user_id: str, user_hash: str) -> Erased:
        """Take out all that is known of the user, from the tables and from SQLite's files.

        user_hash is what stays, so that other workers forget too. PostgreSQL's own files keep deleted rows until its
        vacuum reuses them. Raises StoreError also when a reader holds SQLite's log: erase once more.
        """
        with self.database.writing() as connection:
            counts = [
                connection.execute(delete(table).where(table.c.user_id == user_id)).rowcount
                for table in (EVENTS, IMPRESSIONS, USERS)
            ]
            last = select(func.coalesce(func.max(EVENTS.c.id), 0)).scalar_subquery()
            erasure = {"user_hash": user_hash, "last_event_id": last, "at": datetime.now(UTC)}
            connection.execute(ERASURES.insert().values(erasure))
        self.bell.ring()
        self.database.forget()
        return Erased(*counts)

    def erasures_after(self, cursor: int, limit: int = 10_000) -> list[ErasureRecord]:
        """The first erasures whose id is above the cursor, in order of id."""
        query = select(ERASURES).where(ERASURES.c.id > cursor).order_by(ERASURES.c.id).limit(limit)
        return [ErasureRecord(**row) for row in self._rows(query)]

    def outcomes(self, experiment: str, goal: str = "purchase", horizon_hours: float = 72.0) -> pd.DataFrame:
        """What came of an experiment: user_id, variant, impressions, conversions; one row a user, by user_id.

        A user counts for the variant that they saw first, with the answers and the conversions of that variant.
        A conversion is a goal event on an item that was shown at most horizon_hours before; it counts once.
        """
        with self.database.reading() as connection:
            return outcomes.read(connection, experiment, goal, horizon_hours)

    def outcomes_by_version(
        self,
        since: datetime,
        goal: str = "purchase",
        horizon_hours: float = 72.0,
        until: datetime | None = None,
    ) -> pd.DataFrame:
        """What came of the models that answered: user_id, model_version, impressions, conversions, as outcomes does.

        A user counts for the version that they saw first from `since` on, with the answers and the conversions of
        that version from then on, to before `until` where it is given. Visitors without an id are left out.
        """
        with self.database.reading() as connection:
            return outcomes.read_versions(connection, since, until, goal, horizon_hours)

    def first_lists(
        self, model_version: str, surface: str, since: datetime, until: datetime, num_users: int
    ) -> pd.DataFrame:
        """What a model showed: user_id, at, items (best first); each user's first list on a surface in [since, until).

        Where there are more than num_users these are drawn by a hash of their ids. Visitors without an id are left out.
        """
        with self.database.reading() as connection:
            return outcomes.read_lists(connection, model_version, surface, since, until, num_users)

    def experiments_by_user(self, since: datetime) -> pd.DataFrame:
        """Who took part in what: user_id, experiment, as the answers from `since` on say; by user_id."""
        with self.database.reading() as connection:
            return outcomes.read_experiments(connection, since)

    def rates_by_day(
        self, since: datetime, goal: str = "purchase", horizon_hours: float = 72.0
    ) -> pd.DataFrame:
        """How often each model's answers were used: day (UTC), model_version, impressions, clicks, conversions.

        A click or goal event counts once: for the newest answer that showed its item, at most horizon_hours before,
        on the day of that answer. Visitors without an id, and days before any answer, are left out.
        """
        with self.database.reading() as connection:
            return outcomes.read_rates(connection, since, goal, horizon_hours)

    def prune(self, impressions_before: datetime, stop: Event | None = None) -> int:
        """Delete impressions shown before a moment; return how many.

        Rows go in small transactions with pauses in between, so that other writers need not wait. stop: ends it early
        """
        old = select(IMPRESSIONS.c.id).where(IMPRESSIONS.c.at < impressions_before).limit(_PRUNE_ROWS)
        total = 0
        while ids := [row["id"] for row in self._rows(old)]:
            with self.database.writing() as connection:
                total += connection.execute(delete(IMPRESSIONS).where(IMPRESSIONS.c.id.in_(ids))).rowcount
            if (stop or Event()).wait(_PRUNE_PAUSE_SECONDS):
                break
        return total

    def _add(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        if not rows:
            return 0
        with self.database.writing() as connection:
            return self.database.add_new(connection, table, rows)

    def _put(
        self, table: Table, key: str, posts: Sequence[PostedItem] | Sequence[PostedUser], *, merge: bool
    ) -> int:
        """Rows are replaced rather than changed, so that each gets a cursor that was never given before."""
        check(posts)
        ids = list(dict.fromkeys(vars(post)[key] for post in posts))
        with self.database.writing() as connection:
            mine = table.c[key].in_(ids)
            known = connection.execute(select(table.c[key], table.c.attributes).where(mine)).tuples()
            attributes: dict[str, Mapping[str, Any]] = dict(known.all()) if merge else {}
            for post in posts:
                before = attributes.get(vars(post)[key], {}) if merge else {}
                attributes[vars(post)[key]] = {**before, **post.attributes}
            if ids:
                connection.execute(delete(table).where(mine))
                connection.execute(
                    table.insert(), [{key: name, "attributes": attributes[name]} for name in ids]
                )
            revision = connection.scalar(select(func.coalesce(func.max(table.c.revision), 0)))
        self.bell.ring()
        return int(revision or 0)

    def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        with self.database.reading() as connection:
            return [row._asdict() for row in connection.execute(query)]


def _is_erased(one: Impression, erased: Mapping[str, datetime], hash_of: Callable[[str], str] | None) -> bool:
    """Whether the answer was given to a user before they were erased; erased: when, by hash."""
    if not erased or hash_of is None or one.user_id is None:
        return False
    moment = erased.get(hash_of(one.user_id))
    return moment is not None and one.at <= moment
