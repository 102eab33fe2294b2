"""Synthetic drift of users' behaviour from a day on, with the affected users, the start and a description."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pandas as pd

from monitoring.drift.feed.feed_log import is_interaction
from tierrec_core.base.contracts import ITEMS, BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import DataError
from tierrec_core.data.interactions import to_days

NEW_CATEGORY = "new category"
NUM_NEW_ITEMS, TAKE_UP = 20, 0.2
SEASON_WEEKS = 6.0
LOSS = 0.7  # of the baskets of a tier whose activity falls
_GROWTH = 1.0
_NUM_TARGETS = 30
Kind = Literal["concentrated", "diffuse"]


@dataclass(frozen=True)
class ChangedLog:
    """A log after a change, with its ground truth.

    events, items: the changed frames
    users: ids of the affected users, [K]
    start: the first day of the change, days since 1970 UTC
    what: description
    """

    events: pd.DataFrame
    items: pd.DataFrame
    users: pd.Index
    start: float
    what: str


@dataclass(frozen=True)
class EncodedLog:
    """User, category and time of each row of EVENTS.

    users, categories: ids and names of the codes, [U] and [C]
    user: [N]; category: -1 for impressions, redemptions and items without one, [N]; day: days since 1970 UTC, [N]
    """

    users: pd.Index
    categories: pd.Index
    user: IntArray
    category: IntArray
    day: FloatArray

    @classmethod
    def of(cls, events: pd.DataFrame, items: pd.DataFrame) -> Self:
        """Encode EVENTS; codes follow the order of the ids and do not depend on the order of the rows."""
        user, users = pd.factorize(events["user_id"], sort=True)
        item, item_ids = pd.factorize(events["item_id"])
        category_of = items.drop_duplicates("item_id").set_index("item_id")["category"]
        label, categories = pd.factorize(category_of.reindex(pd.Index(item_ids)).astype(object), sort=True)
        category = label[item]
        category[~is_interaction(events)] = -1
        return cls(
            pd.Index(users, dtype=object),
            pd.Index(categories, dtype=object),
            user.astype(np.int64),
            category.astype(np.int64),
            to_days(events["timestamp"]),
        )

    def counts(self, mask: BoolArray) -> IntArray:
        """Events of the masked rows [N] by user and category, [U, C]."""
        keep = mask & (self.category >= 0)
        cell = self.user[keep] * len(self.categories) + self.category[keep]
        size = len(self.users) * len(self.categories)
        return np.bincount(cell, minlength=size).reshape(len(self.users), len(self.categories))

    def sample_rows(self, categories: IntArray, mask: BoolArray, rng: np.random.Generator) -> IntArray:
        """Sample a masked row [N] of each category [M], so that items are drawn in proportion to their events, [M]."""
        pool = np.flatnonzero(mask & (self.category >= 0))
        pool = pool[np.argsort(self.category[pool], kind="stable")]
        edges = np.searchsorted(self.category[pool], np.arange(len(self.categories) + 1))
        size = np.diff(edges)[categories]
        offset = edges[:-1][categories] + np.floor(rng.random(len(categories)) * size).astype(np.int64)
        return pool[offset]


def shift_interests(
    events: pd.DataFrame,
    items: pd.DataFrame,
    *,
    share: float,
    start: float,
    rng: np.random.Generator,
    kind: Kind = "concentrated",
    among: pd.Index | None = None,
    ramp_days: float = 0.0,
) -> ChangedLog:
    """Move half of the events in their favourite category to another one, for a share of the users.

    concentrated: all move to one category drawn from the 30 largest
    diffuse: each moves to the one of these with fewest of the user's events, which hardly changes overall shares
    among: ids of the users of whom the share is drawn, None for all
    ramp_days: each of them begins on a random day of so many
    Volume, spend and times are unchanged. Favourites are those before the day.
    Raises DataError when too few users can move.
    """
    log = EncodedLog.of(events, items)
    past = log.day < start
    counts = log.counts(past)
    largest = np.argsort(-counts.sum(axis=0), kind="stable")[:_NUM_TARGETS]
    largest = largest[counts.sum(axis=0)[largest] > 0]
    favourite = counts.argmax(axis=1)
    if kind == "concentrated":
        destination = np.full(len(counts), int(rng.choice(largest)))
    else:
        tie_break = rng.random((len(counts), len(largest)))
        candidates = np.where(largest == favourite[:, None], np.inf, counts[:, largest] + tie_break)
        destination = largest[candidates.argmin(axis=1)]
    known = (counts.sum(axis=1) > 0) & (True if among is None else log.users.isin(among))
    movers = _pick_users(known, destination != favourite, share, rng)
    begins = start + (ramp_days * rng.random(len(movers)) if ramp_days else np.zeros(len(movers)))
    affected = (log.day >= begins[log.user]) & movers[log.user] & (log.category == favourite[log.user])
    affected &= rng.random(len(affected)) < 0.5
    whom = "the users" if among is None else f"{len(among)} users"
    pace = f" over {ramp_days:g} days" if ramp_days else ""
    what = f"{share:.0%} of {whom} move half of their favourite category{pace}" + (
        f" to {log.categories[destination[0]]!r}" if kind == "concentrated" else ", each to a different one"
    )
    rows = log.sample_rows(destination[log.user[affected]], past, rng)
    moved = _replace_items(events, affected, events["item_id"].to_numpy(dtype=object)[rows])
    return ChangedLog(moved, items, log.users[movers], start, what)


def add_category(
    events: pd.DataFrame, items: pd.DataFrame, *, share: float, start: float, rng: np.random.Generator
) -> ChangedLog:
    """Move a share TAKE_UP of the events of a share of the users to NUM_NEW_ITEMS items of a new category.

    The item of rank r gets events in proportion to 1 / (r + 1). Raises DataError when too few users can move.
    """
    log = EncodedLog.of(events, items)
    past = log.day < start
    known = log.counts(past).sum(axis=1) > 0
    movers = _pick_users(known, known, share, rng)
    affected = ~past & movers[log.user] & (log.category >= 0) & (rng.random(len(past)) < TAKE_UP)
    ids = np.array([f"new-{number:02}" for number in range(NUM_NEW_ITEMS)], dtype=object)
    popularity = 1.0 / np.arange(1, NUM_NEW_ITEMS + 1)
    new_items = ids[rng.choice(NUM_NEW_ITEMS, int(affected.sum()), p=popularity / popularity.sum())]
    added = pd.DataFrame({"item_id": ids, "title": ids, "category": NEW_CATEGORY, "price": items["price"].median()})
    what = f"a new category of {NUM_NEW_ITEMS} items gets {TAKE_UP:.0%} of the events of {share:.0%} of the users"
    all_items = ITEMS.conform(pd.concat([items, added], ignore_index=True), "simulation")
    return ChangedLog(_replace_items(events, affected, new_items), all_items, log.users[movers], start, what)


def add_season(
    events: pd.DataFrame, items: pd.DataFrame, *, starts: Sequence[float], rng: np.random.Generator
) -> ChangedLog:
    """Double a category's events for SEASON_WEEKS from each of the start days on.

    Each added event copies one of the category with another of its items, some minutes later. The category is drawn
    from the larger half. Raises DataError when it has no event in the season.
    """
    log = EncodedLog.of(events, items)
    size = log.counts(np.ones(len(log.day), bool)).sum(axis=0)
    largest = np.argsort(-size, kind="stable")[: max(1, len(size) // 2)]
    code = int(rng.choice(largest[size[largest] > 0]))
    in_season = np.any([(log.day >= start) & (log.day < start + 7 * SEASON_WEEKS) for start in starts], axis=0)
    base = np.flatnonzero((log.category == code) & in_season)
    if not len(base):
        raise DataError(
            f"simulation: category {log.categories[code]!r} has no event in the season from day {starts[0]:g}, "
            "wanted at least one; move the season or choose another seed"
        )
    source = np.repeat(base, np.floor(_GROWTH + rng.random(len(base))).astype(np.int64))
    rows = log.sample_rows(np.full(len(source), code), log.category >= 0, rng)
    extra = events.iloc[source].copy()
    extra["item_id"] = events["item_id"].to_numpy()[rows]
    extra["timestamp"] = add_seconds(extra["timestamp"], rng.integers(60, 600, len(source)))
    grown = pd.concat([events, extra], ignore_index=True).sort_values("timestamp", kind="stable")
    users = log.users[np.unique(log.user[source])]
    what = f"{log.categories[code]!r} grows by {_GROWTH:.0%} for {SEASON_WEEKS:g} weeks, {len(starts)} times"
    return ChangedLog(grown.reset_index(drop=True), items, users, float(starts[0]), what)


def reduce_activity(
    events: pd.DataFrame, items: pd.DataFrame, *, users: pd.Index, start: float, rng: np.random.Generator, name: str
) -> ChangedLog:
    """Drop round(LOSS * baskets) baskets of each of these users, drawn at random; name: of these users."""
    day = to_days(events["timestamp"])
    late = np.flatnonzero((day >= start) & events["user_id"].isin(users).to_numpy(dtype=bool))
    basket, owner = basket_codes(events.iloc[late])
    order = np.lexsort((rng.random(len(owner)), owner))
    first = np.searchsorted(owner[order], owner[order])
    count = np.bincount(owner)[owner[order]]
    dropped = np.zeros(len(owner), bool)
    dropped[order] = np.arange(len(order)) - first < np.round(LOSS * count)
    lost = np.zeros(len(events), bool)
    lost[late[dropped[basket]]] = True
    what = f"{name} ({len(users)} users) has {LOSS:.0%} fewer baskets"
    return ChangedLog(events[~lost].reset_index(drop=True), items, pd.Index(users), start, what)


def basket_codes(events: pd.DataFrame) -> tuple[IntArray, IntArray]:
    """Basket of each row, [N], and user code of each basket, [B]; without a session, a user's day is a basket."""
    user, _ = pd.factorize(events["user_id"], sort=True)
    session, _ = pd.factorize(events["session_id"])
    day = events["timestamp"].dt.floor("D").astype("int64").to_numpy()
    visit = np.where(session >= 0, session, -1 - pd.factorize(day)[0])
    baskets, basket = np.unique(np.stack([user, visit], axis=1), axis=0, return_inverse=True)
    return basket.ravel(), baskets[:, 0]


def add_seconds(timestamps: pd.Series, seconds: FloatArray | IntArray) -> pd.Series:
    """Shift timestamps, keeping their resolution."""
    return (timestamps + pd.to_timedelta(seconds, unit="s")).astype(timestamps.dtype)


def _pick_users(known: BoolArray, can_move: BoolArray, share: float, rng: np.random.Generator) -> BoolArray:
    """Draw a share of the known users among those able to move, [U]."""
    num, candidates = round(share * int(known.sum())), np.flatnonzero(known & can_move)
    if num > len(candidates):
        raise DataError(f"simulation: wanted to move {num} users, found {len(candidates)} who can; lower the share")
    picked = np.zeros(len(known), bool)
    picked[rng.choice(candidates, num, replace=False)] = True
    return picked


def _replace_items(events: pd.DataFrame, affected: BoolArray, item_ids: np.ndarray) -> pd.DataFrame:
    ids = events["item_id"].to_numpy(dtype=object).copy()
    ids[affected] = item_ids
    return events.assign(item_id=pd.Series(ids, events.index, dtype=events["item_id"].dtype))
