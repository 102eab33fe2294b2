"""Users' histories as id-indexed arrays and sparse matrices: the only mapping between ids and rows or columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse

from tierrec_core.base.contracts import EVENT_CODES, BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import EmptyDataError

_SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Interactions:
    """Histories of U users over a catalogue of I items, N events in order of (user, day).

    users, items: string ids; row u and column i of every matrix, [U] and [I]
    user, item: row and column of each event, [N]
    event: contracts.EVENT_CODES, [N]
    day: when, in days since 1970 UTC, with fractions, [N]
    value: money paid or stars given, 0 where unknown, [N]
    quantity: pieces, 1 where unknown, [N]
    session: a code a basket or visit, unique over users, [N]
    coupon: bought with a coupon, [N]
    now: the moment as of which this is known, in days; every event is before it
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
        """Index an EVENTS frame; events of unknown users or items are left out.

        Without `users` or `items` they are the sorted ids found. Without `now` it is just after the last event.
        Raises EmptyDataError when no event is left.
        """
        users = pd.Index(sorted(events["user_id"].unique()), dtype=object) if users is None else users
        items = pd.Index(sorted(events["item_id"].unique()), dtype=object) if items is None else items
        user = users.get_indexer(pd.Index(events["user_id"].astype(object)))
        item = items.get_indexer(pd.Index(events["item_id"].astype(object)))
        day = to_days(events["timestamp"])
        known = (user >= 0) & (item >= 0)
        if not known.any():
            raise EmptyDataError(
                f"interactions: none of {len(events)} events belongs to the {len(users)} users and {len(items)} items "
                "that are left; loosen prepare.* and split.min_users_per_item"
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
        """One anonymous visitor who did this to each item in this order, one a minute up to `now`.

        events: the name of all events, or of each. Items that the catalogue does not have are left out; an empty
        history has no events.
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
        """U, the number of histories; some may be empty."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """I, the size of the catalogue."""
        return len(self.items)

    def __len__(self) -> int:
        return len(self.user)

    @property
    def age(self) -> FloatArray:
        """Days from each event to now, [N]."""
        return self.now - self.day

    @cached_property
    def offsets(self) -> IntArray:
        """User u's events are at offsets[u]:offsets[u + 1], [U + 1]."""
        return np.searchsorted(self.user, np.arange(self.num_users + 1)).astype(np.int64)

    def where(self, keep: BoolArray) -> Self:
        """The same users and items with only the events where keep [N] is true."""
        return replace(
            self,
            user=self.user[keep],
            item=self.item[keep],
            event=self.event[keep],
            day=self.day[keep],
            value=self.value[keep],
            quantity=self.quantity[keep],
            session=self.session[keep],
            coupon=self.coupon[keep],
        )

    def filter_events(self, *events: str) -> Self:
        """Only events of these names."""
        return self.where(np.isin(self.event, [EVENT_CODES[name] for name in events]))

    def before(self, now: float) -> Self:
        """The world as it was known at `now`: later events are gone."""
        return replace(self.where(self.day < now), now=now)

    def select_users(self, chosen: IntArray) -> Self:
        """The histories of the chosen rows, in that order."""
        length = np.diff(self.offsets)[chosen]
        start = np.repeat(self.offsets[:-1][chosen] - np.r_[0, np.cumsum(length)[:-1]], length)
        taken = start + np.arange(length.sum())
        part = replace(self, users=self.users[chosen])
        picked = {
            name: getattr(self, name)[taken]
            for name in ("item", "event", "day", "value", "quantity", "session", "coupon")
        }
        return replace(part, user=np.repeat(np.arange(len(chosen), dtype=np.int32), length), **picked)

    def matrix(self, weight: FloatArray | None = None) -> sparse.csr_matrix:
        """Sum of the weights [N] a user and item, [U, I] float32; without weights, the number of events."""
        data = np.ones(len(self), np.float32) if weight is None else weight.astype(np.float32)
        shape = (self.num_users, self.num_items)
        return sparse.coo_matrix((data, (self.user, self.item)), shape=shape).tocsr()

    def binary_matrix(self) -> sparse.csr_matrix:
        """1 where the user met the item at all, [U, I] float32."""
        matrix = self.matrix()
        matrix.data[:] = 1.0
        return matrix

    def decayed_matrix(self, half_life: float) -> sparse.csr_matrix:
        """Events counted with a weight that halves every `half_life` days, [U, I] float32."""
        return self.matrix(np.exp2(-self.age / half_life))

    def unique_pairs(self) -> tuple[IntArray, IntArray]:
        """The distinct (user, item) pairs, in order of (user, item): two arrays [P]."""
        met = self.matrix()
        met.sort_indices()
        user = np.repeat(np.arange(self.num_users, dtype=np.int64), np.diff(met.indptr))
        return user, met.indices.astype(np.int64)


def to_days(timestamps: pd.Series) -> FloatArray:
    """Timestamps as days since 1970 UTC, with fractions."""
    return timestamps.astype("int64").to_numpy() / 1e6 / _SECONDS_A_DAY


def from_days(day: float) -> pd.Timestamp:
    """The inverse of to_days for one moment."""
    return pd.Timestamp(day * _SECONDS_A_DAY, unit="s", tz="UTC")
