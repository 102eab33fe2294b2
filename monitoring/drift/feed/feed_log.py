"""Raw rows of a log as integer codes, in the order of time."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from monitoring.drift.feed.catalogue import CatalogueSnapshot
from tierrec_core.base.contracts import BoolArray, Event, FloatArray, IntArray
from tierrec_core.data.interactions import from_days

DAY_SECONDS = 86_400
NO_CHANNEL = "(none)"


def is_interaction(events: pd.DataFrame) -> BoolArray:
    """Mask the rows of EVENTS that are neither impressions nor redemptions, [N]."""
    return ~events["event"].isin((Event.IMPRESSION, Event.REDEEM)).to_numpy(dtype=bool)


def events_between(events: pd.DataFrame, start: float | None, end: float) -> pd.DataFrame:
    """Select the rows of EVENTS from day `start` (None: the first) to before day `end`."""
    stamps = events["timestamp"]
    keep = stamps < from_days(end)
    return events[keep if start is None else keep & (stamps >= from_days(start))]


@dataclass(frozen=True, eq=False)
class FeedLog:
    """N raw interactions from day `start` to before day `end`, sorted by time; days since 1970 UTC.

    users, items: ids, [U] and [I]; kinds, channels: names; categories: names, [C]
    item_category: as the champion knew it, or as it is now for items new since; -1 without one, [I]
    second: since 1970, [N]; user, item, kind, channel: codes, [N]
    unit_price: value of one piece, NaN where there is none, [N]
    """

    start: float
    end: float
    users: pd.Index
    items: pd.Index
    kinds: tuple[str, ...]
    channels: tuple[str, ...]
    categories: tuple[str, ...]
    item_category: IntArray
    second: FloatArray
    user: IntArray
    item: IntArray
    kind: IntArray
    channel: IntArray
    unit_price: FloatArray

    @classmethod
    def of(
        cls, events: pd.DataFrame, now: CatalogueSnapshot, known: CatalogueSnapshot, start: float, end: float
    ) -> Self:
        """Encode raw EVENTS; `now` and `known` describe the items now and as of the cut."""
        events = events_between(events, start, end)
        events = events[is_interaction(events)].dropna(subset=["user_id", "item_id", "event", "timestamp"])
        user, users = pd.factorize(events["user_id"], sort=True)
        item, items = pd.factorize(events["item_id"], sort=True)
        kind, kinds = pd.factorize(events["event"], sort=True)
        channel, channels = pd.factorize(events["channel"].fillna(NO_CHANNEL), sort=True)
        items = pd.Index(items.astype(object))
        category, categories = _categories(items, now, known)
        second = events["timestamp"].astype("int64").to_numpy() / 1e6
        order = np.lexsort((kind, item, user, second))
        log = cls(
            start,
            end,
            pd.Index(users.astype(object)),
            items,
            tuple(map(str, kinds)),
            tuple(map(str, channels)),
            categories,
            category,
            second,
            user,
            item,
            kind,
            channel,
            _unit_price(events),
        )
        return log.rows(order)

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.second)

    @property
    def num_days(self) -> int:
        """Days of the span."""
        return max(int(np.ceil(self.end - self.start)), 1)

    @cached_property
    def day(self) -> IntArray:
        """Day of each row, counted from `start`, [N]."""
        day = np.floor(self.second / DAY_SECONDS - self.start).astype(np.int64)
        return np.clip(day, 0, self.num_days - 1)

    @cached_property
    def category(self) -> IntArray:
        """Category of each row, [N]."""
        return self.item_category[self.item]

    @cached_property
    def hour(self) -> IntArray:
        """Hour of the day of each row, UTC, [N]."""
        return (self.second // 3_600).astype(np.int64) % 24

    @cached_property
    def user_hours(self) -> IntArray:
        """Hours since 1970 in which a user has an event, once a user, [M]: a basket's rows are not independent."""
        hour = (self.second // 3_600).astype(np.int64)
        cells: IntArray = np.unique(hour * len(self.users) + self.user)
        return cells // len(self.users)

    @property
    def unnamed_channel(self) -> float:
        """Share of the rows without a channel."""
        unnamed = [code for code, name in enumerate(self.channels) if name == NO_CHANNEL]
        return float(np.isin(self.channel, unnamed).mean()) if self.num_rows else 0.0

    @cached_property
    def user_seconds(self) -> tuple[FloatArray, IntArray]:
        """Distinct times of each user, and the user, sorted by both, [M] each: a basket's rows share one time."""
        order = np.lexsort((self.second, self.user))
        second, user = self.second[order], self.user[order]
        fresh = np.append(True, (np.diff(second) != 0) | (np.diff(user) != 0))[: len(user)]
        return second[fresh], user[fresh]

    @cached_property
    def item_prices(self) -> FloatArray:
        """Median price of one piece of each item, NaN where there is none, [I]."""
        priced = np.flatnonzero(np.isfinite(self.unit_price))
        order = priced[np.lexsort((self.unit_price[priced], self.item[priced]))]
        items, first, count = np.unique(self.item[order], return_index=True, return_counts=True)
        prices = np.full(len(self.items), np.nan)
        prices[items] = self.unit_price[order][first + (count - 1) // 2]
        return prices

    @cached_property
    def repeat_seconds(self) -> FloatArray:
        """Seconds since the same user's last event of the same kind on the same item, infinite for the first, [N]."""
        order = np.lexsort((self.second, self.kind, self.item, self.user))
        keys = np.stack([self.user[order], self.item[order], self.kind[order]])
        same = (keys[:, 1:] == keys[:, :-1]).all(axis=0)
        gap = np.full(self.num_rows, np.inf)
        gap[order[1:]] = np.where(same, np.diff(self.second[order]), np.inf)
        return gap

    def rows(self, keep: BoolArray | IntArray | slice) -> Self:
        """Select rows by mask, index or slice."""
        names = ("second", "user", "item", "kind", "channel", "unit_price")
        return replace(self, **{name: getattr(self, name)[keep] for name in names})

    def between(self, start: float, end: float) -> Self:
        """Rows from day `start` to before day `end`."""
        first, last = np.searchsorted(self.second, (start * DAY_SECONDS, end * DAY_SECONDS))
        return replace(self.rows(slice(first, last)), start=start, end=end)

    def daily(self, mask: BoolArray | None = None) -> IntArray:
        """Rows of each day, [D]; of the masked rows [N] only."""
        return np.bincount(self.day if mask is None else self.day[mask], minlength=self.num_days)

    def daily_by(self, what: str) -> IntArray:
        """Rows of each channel or category by day, [P, D]."""
        names, code = (self.channels, self.channel) if what == "channel" else (self.categories, self.category)
        cell = (code * self.num_days + self.day)[code >= 0]
        return np.bincount(cell, minlength=len(names) * self.num_days).reshape(len(names), self.num_days)


def _categories(items: pd.Index, now: CatalogueSnapshot, known: CatalogueSnapshot) -> tuple[IntArray, tuple[str, ...]]:
    """Category of each item [I] among the names of both catalogues."""
    names = pd.Index(sorted({*known.categories, *now.categories}), dtype=object)
    category = np.full(len(items), -1)
    for catalogue in (now, known):
        index = catalogue.of_ids(items)
        code = names.get_indexer(pd.Index(catalogue.categories, dtype=object))
        own = np.append(catalogue.category, -1)[index]
        category = np.where(own >= 0, np.append(code, -1)[own], category)
    return category.astype(np.int32), tuple(names)


def _unit_price(events: pd.DataFrame) -> FloatArray:
    """Value of one piece; a row without a quantity is one piece only where no row has a quantity."""
    value, quantity = (
        events[name].astype("Float64").to_numpy(dtype=float, na_value=np.nan) for name in ("value", "quantity")
    )
    if np.isnan(quantity).all():
        quantity = np.ones(len(quantity))
    usable = (value > 0) & (quantity > 0)
    return np.where(usable, value / np.where(usable, quantity, 1.0), np.nan)
