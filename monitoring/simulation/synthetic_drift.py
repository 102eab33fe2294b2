"""Synthetic drift of users' behaviour from a day on, with a record of who changed, when and how."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from monitoring.simulation.encoded_log import EncodedLog, add_seconds, basket_codes
from tierrec_core.base.contracts import ITEMS, BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import DataError
from tierrec_core.data.interactions import to_days

NEW_CATEGORY = "new category"
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


def shift_interests(
    events: pd.DataFrame,
    items: pd.DataFrame,
    *,
    share: float,
    start: float,
    rng: np.random.Generator,
    kind: Kind = "concentrated",
    target: str | None = None,
    num_categories: int = 30,
) -> ChangedLog:
    """Move half of the events in their favourite category to another one, for a share of the users.

    concentrated: all move to one target, by default drawn from the num_categories largest
    diffuse: each moves to the one of these with fewest of the user's events, which hardly changes overall shares
    Volume, spend and times stay. Favourites are those before the day.
    Raises DataError when too few users can move.
    """
    log = EncodedLog.of(events, items)
    past = log.day < start
    counts = log.counts(past)
    largest = np.argsort(-counts.sum(axis=0), kind="stable")[:num_categories]
    largest = largest[counts.sum(axis=0)[largest] > 0]
    favourite = counts.argmax(axis=1)
    if kind == "concentrated":
        destination = np.full(len(counts), _pick_category(log, largest, target, rng))
    else:
        tie_break = rng.random((len(counts), len(largest)))
        candidates = np.where(largest == favourite[:, None], np.inf, counts[:, largest] + tie_break)
        destination = largest[candidates.argmin(axis=1)]
    movers = _pick_users(counts.sum(axis=1) > 0, destination != favourite, share, rng)
    hit = ~past & movers[log.user] & (log.category == favourite[log.user])
    hit &= rng.random(len(hit)) < 0.5
    what = f"{share:.0%} of the users move half of their favourite category" + (
        f" to {log.categories[destination[0]]!r}" if kind == "concentrated" else ", each to another one"
    )
    rows = log.sample_rows(destination[log.user[hit]], past, rng)
    moved = _replace_items(events, hit, events["item_id"].to_numpy(dtype=object)[rows])
    return ChangedLog(moved, items, log.users[movers], start, what)


def add_category(
    events: pd.DataFrame,
    items: pd.DataFrame,
    *,
    share: float,
    start: float,
    rng: np.random.Generator,
    take_up: float = 0.2,
    num_items: int = 20,
) -> ChangedLog:
    """Move a share take_up of the events of a share of the users to items of a new category.

    The item of rank r gets events in proportion to 1 / (r + 1). Raises DataError when too few users can move.
    """
    log = EncodedLog.of(events, items)
    past = log.day < start
    known = log.counts(past).sum(axis=1) > 0
    movers = _pick_users(known, known, share, rng)
    hit = ~past & movers[log.user] & (log.category >= 0) & (rng.random(len(past)) < take_up)
    ids = np.array([f"new-{number:02}" for number in range(num_items)], dtype=object)
    popularity = 1.0 / np.arange(1, num_items + 1)
    new_items = ids[rng.choice(num_items, int(hit.sum()), p=popularity / popularity.sum())]
    added = pd.DataFrame({"item_id": ids, "title": ids, "category": NEW_CATEGORY, "price": items["price"].median()})
    what = f"a new category of {num_items} items gets {take_up:.0%} of the events of {share:.0%} of the users"
    all_items = ITEMS.conform(pd.concat([items, added], ignore_index=True), "simulation")
    return ChangedLog(_replace_items(events, hit, new_items), all_items, log.users[movers], start, what)


def add_season(
    events: pd.DataFrame,
    items: pd.DataFrame,
    *,
    starts: Sequence[float],
    rng: np.random.Generator,
    category: str | None = None,
    weeks: float = 6.0,
    growth: float = 1.0,
) -> ChangedLog:
    """Grow a category's events by a factor 1 + growth for some weeks from each of the start days on.

    Each added event copies one of the category with another of its items, some minutes later. The category is by
    default drawn from the larger half. Raises DataError when it has no event in the season.
    """
    log = EncodedLog.of(events, items)
    size = log.counts(np.ones(len(log.day), bool)).sum(axis=0)
    largest = np.argsort(-size, kind="stable")[: max(1, len(size) // 2)]
    code = _pick_category(log, largest[size[largest] > 0], category, rng)
    base = np.flatnonzero((log.category == code) & _in_season(log.day, starts, weeks))
    if not len(base):
        raise DataError(
            f"simulation: category {log.categories[code]!r} has no event in the season from day {starts[0]:g}, "
            "wanted at least one; move the season or choose another category"
        )
    times = np.floor(growth + rng.random(len(base))).astype(np.int64)
    source = np.repeat(base, times)
    rows = log.sample_rows(np.full(len(source), code), log.category >= 0, rng)
    extra = events.iloc[source].copy()
    extra["item_id"] = events["item_id"].to_numpy()[rows]
    extra["timestamp"] = add_seconds(extra["timestamp"], rng.integers(60, 600, len(source)))
    grown = pd.concat([events, extra], ignore_index=True).sort_values("timestamp", kind="stable")
    users = log.users[np.unique(log.user[source])]
    what = f"{log.categories[code]!r} grows by {growth:.0%} for {weeks:g} weeks, {len(starts)} times"
    return ChangedLog(grown.reset_index(drop=True), items, users, float(starts[0]), what)


def reduce_activity(
    events: pd.DataFrame,
    items: pd.DataFrame,
    *,
    users: pd.Index,
    start: float,
    rng: np.random.Generator,
    loss: float = 0.7,
    name: str = "one tier",
) -> ChangedLog:
    """Drop round(loss * baskets) baskets of each of these users, drawn at random."""
    day = to_days(events["timestamp"])
    late = np.flatnonzero((day >= start) & events["user_id"].isin(users).to_numpy(dtype=bool))
    basket, owner = basket_codes(events.iloc[late])
    order = np.lexsort((rng.random(len(owner)), owner))
    first = np.searchsorted(owner[order], owner[order])
    count = np.bincount(owner)[owner[order]]
    dropped = np.zeros(len(owner), bool)
    dropped[order] = np.arange(len(order)) - first < np.round(loss * count)
    gone = np.zeros(len(events), bool)
    gone[late[dropped[basket]]] = True
    what = f"{name} ({len(users)} users) has {loss:.0%} fewer baskets"
    return ChangedLog(events[~gone].reset_index(drop=True), items, pd.Index(users), start, what)


def _pick_users(known: BoolArray, able: BoolArray, share: float, rng: np.random.Generator) -> BoolArray:
    """Draw a share of the known users among those able to move, [U]."""
    num, candidates = round(share * int(known.sum())), np.flatnonzero(known & able)
    if num > len(candidates):
        raise DataError(
            f"simulation: {num} users are to move and {len(candidates)} can; lower the share or choose another target"
        )
    picked = np.zeros(len(known), bool)
    picked[rng.choice(candidates, num, replace=False)] = True
    return picked


def _pick_category(log: EncodedLog, largest: IntArray, name: str | None, rng: np.random.Generator) -> int:
    """Code of the named category, or of one drawn from the largest."""
    if name is None:
        return int(rng.choice(largest))
    if name not in log.categories:
        raise DataError(
            f"simulation: no category is called {name!r}; found {', '.join(map(str, log.categories[:10]))}, ..."
        )
    return int(log.categories.get_indexer(pd.Index([name]))[0])


def _replace_items(events: pd.DataFrame, hit: BoolArray, item_ids: np.ndarray) -> pd.DataFrame:
    ids = events["item_id"].to_numpy(dtype=object).copy()
    ids[hit] = item_ids
    return events.assign(item_id=pd.Series(ids, events.index, dtype=events["item_id"].dtype))


def _in_season(day: FloatArray, starts: Sequence[float], weeks: float) -> BoolArray:
    mask = np.zeros(len(day), bool)
    for start in starts:
        mask |= (day >= start) & (day < start + 7 * weeks)
    return mask
