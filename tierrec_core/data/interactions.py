"""User histories as arrays and sparse matrices, with the mapping of ids to rows and columns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse

from tierrec_core.base.contracts import EVENT_CODES, BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import EmptyDataError

_SECONDS_PER_DAY = 86_400
_EVENT_FIELDS = ("user", "item", "event", "day", "value", "quantity", "session", "coupon")


@dataclass(frozen=True)
class Interactions:
    """N events of U users with a catalogue of I items, ordered by (user, day).

    users, items: string ids; row u and column i of every matrix, [U] and [I]
    user, item: row and column of each event, [N]
    event: contracts.EVENT_CODES, [N]
    day: time of each event, in fractional days since 1970 UTC, [N]
    value: money paid or rating given, 0 where unknown, [N]
    quantity: pieces, 1 where unknown, [N]
    session: code of the basket or visit, unique over users, [N]
    coupon: whether bought with a coupon, [N]
    now: the time as of which the histories are known, in days; every event is before it
    """

    users: pd.Index
    items: pd.Index
    user: IntArray
    item: IntArray
    event: IntArray
    day: FloatArray
    value: FloatArray
    quantity: FloatArray
    session: IntArray
    coupon: BoolArray
    now: float

    @classmethod
    def from_events(
        cls,
        events: pd.DataFrame,
        *,
        users: pd.Index | None = None,
        items: pd.Index | None = None,
        now: float | None = None,
    ) -> Self:
        """Index an EVENTS frame; events of unknown users or items are dropped.

        users, items: the ids to index, by default the sorted ids of the frame
        now: by default just after the last event
        Raises EmptyDataError when no event is left.
        """
        user, users = _index(events["user_id"], users)
        item, items = _index(events["item_id"], items)
        day = to_days(events["timestamp"])
        known = (user >= 0) & (item >= 0)
        if not known.any():
            raise EmptyDataError(
                f"interactions: none of {len(events)} events belongs to the {len(users)} users and {len(items)} items "
                "that remain; relax prepare.* and split.min_users_per_item"
            )
        order = np.flatnonzero(known)[np.lexsort((day[known], user[known]))]
        session, _ = pd.factorize(events["session_id"].iloc[order])
        missing = session < 0
        session[missing] = session.max(initial=-1) + 1 + np.arange(missing.sum())
        return cls(
            users=users,
            items=items,
            user=user[order].astype(np.int32),
            item=item[order].astype(np.int32),
            event=events["event"].map(EVENT_CODES).to_numpy(dtype=np.int8)[order],
            day=day[order],
            value=events["value"].fillna(0.0).to_numpy(dtype=np.float32)[order],
            quantity=events["quantity"].fillna(1.0).to_numpy(dtype=np.float32)[order],
            session=session.astype(np.int64),
            coupon=events["channel"].eq("coupon").fillna(False).to_numpy(dtype=bool)[order],
            now=float(np.nextafter(day[order].max(), np.inf)) if now is None else now,
        )

    @classmethod
    def from_history(
        cls, item_ids: Iterable[str], items: pd.Index, now: float, events: str | Sequence[str] = "purchase"
    ) -> Self:
        """History of one anonymous user: an event with each known item in the given order, one per minute up to `now`.

        events: name of all events, or of each
        """
        ids = list(item_ids)
        names = [events] * len(ids) if isinstance(events, str) else events
        code = np.array([EVENT_CODES[name] for name in names], np.int8)
        item = items.get_indexer(pd.Index(ids, dtype=object))
        code, item = code[item >= 0], item[item >= 0].astype(np.int32)
        count = len(item)
        return cls(
            users=pd.Index([""], dtype=object),
            items=items,
            user=np.zeros(count, np.int32),
            item=item,
            event=code,
            day=now - np.arange(count, 0, -1) / 1440.0,
            value=np.zeros(count, np.float32),
            quantity=np.ones(count, np.float32),
            session=np.zeros(count, np.int64),
            coupon=np.zeros(count, bool),
            now=now,
        )

    @property
    def num_users(self) -> int:
        """Number of histories U; some may be empty."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """Size I of the catalogue."""
        return len(self.items)

    def __len__(self) -> int:
        return len(self.user)

    @property
    def age(self) -> FloatArray:
        """Days from each event to `now`, [N]."""
        return self.now - self.day

    @cached_property
    def offsets(self) -> IntArray:
        """Start of each user's events: those of user u are offsets[u]:offsets[u + 1], [U + 1]."""
        return np.searchsorted(self.user, np.arange(self.num_users + 1)).astype(np.int64)

    @property
    def opens_session(self) -> BoolArray:
        """Whether each event is the first of its session in the order of the log, [N]."""
        opens = np.ones(len(self), bool)
        opens[1:] = (np.diff(self.user) != 0) | (np.diff(self.session) != 0)
        return opens

    def where(self, keep: BoolArray) -> Self:
        """Only the events where keep [N] is true, with the same users and items."""
        return replace(self, **{name: getattr(self, name)[keep] for name in _EVENT_FIELDS})

    def filter_events(self, *events: str) -> Self:
        """Only the events of these names."""
        return self.where(np.isin(self.event, [EVENT_CODES[name] for name in events]))

    def before(self, now: float) -> Self:
        """The histories as known at `now`: only earlier events."""
        return replace(self.where(self.day < now), now=now)

    def select_users(self, rows: IntArray) -> Self:
        """The histories of these rows, in that order; rows may repeat."""
        first, last = self.offsets[:-1][rows], self.offsets[1:][rows]
        event = ranges(first, last)
        selected = {name: getattr(self, name)[event] for name in _EVENT_FIELDS}
        selected["user"] = np.repeat(np.arange(len(rows), dtype=np.int32), last - first)
        return replace(self, users=self.users[rows], **selected)

    def batches(self, size: int) -> Iterator[Self]:
        """All histories in order, `size` at a time; one empty batch where there is none."""
        for start in range(0, max(self.num_users, 1), size):
            yield self.select_users(np.arange(start, min(start + size, self.num_users)))

    def matrix(self, weight: FloatArray | None = None) -> sparse.csr_matrix:
        """Sum of the weights [N] per user and item, [U, I] float32; by default the number of events."""
        data = np.ones(len(self), np.float32) if weight is None else weight.astype(np.float32)
        shape = (self.num_users, self.num_items)
        return sparse.coo_matrix((data, (self.user, self.item)), shape=shape).tocsr()

    def binary_matrix(self) -> sparse.csr_matrix:
        """1 where the user has an event with the item, [U, I] float32."""
        matrix = self.matrix()
        matrix.data[:] = 1.0
        return matrix

    def decayed_matrix(self, half_life: float) -> sparse.csr_matrix:
        """Exponentially decayed counts: weights halve every `half_life` days, [U, I] float32."""
        return self.matrix(np.exp2(-self.age / half_life))

    def unique_pairs(self) -> tuple[IntArray, IntArray]:
        """Distinct (user, item) pairs, ordered by (user, item): two arrays [P]."""
        counts = self.matrix()
        counts.sort_indices()
        user = np.repeat(np.arange(self.num_users, dtype=np.int64), np.diff(counts.indptr))
        return user, counts.indices.astype(np.int64)


def _index(ids: pd.Series, index: pd.Index | None) -> tuple[IntArray, pd.Index]:
    """Place of each id in the index, -1 without one, [N], and the index: without one given, the sorted ids."""
    codes, found = pd.factorize(ids)
    unique = pd.Index(found, dtype=object)
    index = pd.Index(sorted(unique), dtype=object) if index is None else index
    return np.append(index.get_indexer(unique), -1)[codes], index


def ranges(first: IntArray, last: IntArray) -> IntArray:
    """All indices of all ranges first:last, one range after the other, [sum of lengths]."""
    length = last - first
    shift = np.repeat(first - np.r_[0, np.cumsum(length)[:-1]], length)
    return np.asarray(np.arange(length.sum()) + shift)


def to_days(timestamps: pd.Series) -> FloatArray:
    """Convert timestamps to fractional days since 1970 UTC."""
    return timestamps.astype("int64").to_numpy() / 1e6 / _SECONDS_PER_DAY


def from_days(day: float) -> pd.Timestamp:
    """Inverse of `to_days` for a scalar."""
    return pd.Timestamp(day * _SECONDS_PER_DAY, unit="s", tz="UTC")
