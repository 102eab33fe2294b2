"""Changes of what users want, put into a log from a day on, so that it is known who moved, where to and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from monitoring.simulation.encoded_log import EncodedLog
from tierrec_core.base.contracts import ITEMS, BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import DataError
from tierrec_core.data.interactions import to_days

NEW_CATEGORY = "new category"
Kind = Literal["concentrated", "diffuse"]


@dataclass(frozen=True)
class ShiftedLog:
    """A log after a change, and the truth about it.

    events, items: the frames after it
    users: ids of the users whom it concerns, [K]
    start: the first day of the change, days since 1970 UTC
    what: the change in words
    """

    events: pd.DataFrame
    items: pd.DataFrame
    users: pd.Index
    start: float
    what: str


def interests(
    events: pd.DataFrame,
    items: pd.DataFrame,
    *,
    share: float,
    start: float,
    rng: np.random.Generator,
    kind: Kind = "concentrated",
    target: str | None = None,
    num_categories: int = 30,
) -> ShiftedLog:
    """From the day on, a share of the users do half of the events of their favourite category in another one.

    concentrated: all turn to one target, drawn among the num_categories largest where it is not given
    diffuse: each turns to the one of these that they like least, so that the shares of all users hardly move
    How much a user does, pays and when stays as it was. Favourites are those before the day.
    Raises DataError when too few users can move.
    """
    coded = EncodedLog.of(events, items)
    past = coded.day < start
    liked = coded.counts(past)
    largest = np.argsort(-liked.sum(axis=0), kind="stable")[:num_categories]
    largest = largest[liked.sum(axis=0)[largest] > 0]
    favourite = liked.argmax(axis=1)
    if kind == "concentrated":
        goal = np.full(len(liked), _target(coded, largest, target, rng))
    else:
        tie = rng.random((len(liked), len(largest)))
        rivals = np.where(largest == favourite[:, None], np.inf, liked[:, largest] + tie)
        goal = largest[rivals.argmin(axis=1)]
    movers = _chosen(liked.sum(axis=1) > 0, goal != favourite, share, rng)
    hit = ~past & movers[coded.user] & (coded.category == favourite[coded.user])
    hit &= rng.random(len(hit)) < 0.5
    what = f"{share:.0%} of the users move half of their favourite category" + (
        f" to {coded.categories[goal[0]]!r}" if kind == "concentrated" else ", each to another one"
    )
    moved = _redrawn(events, coded, hit, goal[coded.user[hit]], past, rng)
    return ShiftedLog(moved, items, coded.users[movers], start, what)


def new_category(
    events: pd.DataFrame,
    items: pd.DataFrame,
    *,
    share: float,
    start: float,
    rng: np.random.Generator,
    take_up: float = 0.2,
    num_items: int = 20,
) -> ShiftedLog:
    """From the day on, a share of the users give some of what they do, take_up, to items that did not exist.

    Item of rank r is taken about as often as 1 / (r + 1). Raises DataError when too few users can move.
    """
    coded = EncodedLog.of(events, items)
    past = coded.day < start
    known = coded.counts(past).sum(axis=1) > 0
    movers = _chosen(known, known, share, rng)
    hit = ~past & movers[coded.user] & (coded.category >= 0) & (rng.random(len(past)) < take_up)
    ids = np.array([f"new-{number:02}" for number in range(num_items)], dtype=object)
    popularity = 1.0 / np.arange(1, num_items + 1)
    fresh = ids[rng.choice(num_items, int(hit.sum()), p=popularity / popularity.sum())]
    added = pd.DataFrame(
        {"item_id": ids, "title": ids, "category": NEW_CATEGORY, "price": items["price"].median()}
    )
    what = f"a new category of {num_items} items, to which {share:.0%} of the users give {take_up:.0%}"
    everything = ITEMS.conform(pd.concat([items, added], ignore_index=True), "simulation")
    return ShiftedLog(_with_items(events, hit, fresh), everything, coded.users[movers], start, what)


def season(
    events: pd.DataFrame,
    items: pd.DataFrame,
    *,
    starts: Sequence[float],
    rng: np.random.Generator,
    category: str | None = None,
    weeks: float = 6.0,
    growth: float = 1.0,
) -> ShiftedLog:
    """A category's events grow for some weeks from each of the days on, by as much as `growth` (1 doubles them).

    What is added hangs on events of the category: the same user, basket and price, another item, some minutes later.
    The category is drawn among the larger half where it is not given. Raises DataError when it has no event.
    """
    coded = EncodedLog.of(events, items)
    size = coded.counts(np.ones(len(coded.day), bool)).sum(axis=0)
    largest = np.argsort(-size, kind="stable")[: max(1, len(size) // 2)]
    chosen = _target(coded, largest[size[largest] > 0], category, rng)
    base = np.flatnonzero((coded.category == chosen) & _during(coded.day, starts, weeks))
    if not len(base):
        raise DataError(
            f"simulation: category {coded.categories[chosen]!r} has no event in the season from day {starts[0]:g}, "
            "wanted at least one; move the season or choose another category"
        )
    times = np.floor(growth + rng.random(len(base))).astype(np.int64)
    source = np.repeat(base, times)
    drawn = coded.drawn(np.full(len(source), chosen), coded.category >= 0, rng)
    extra = events.iloc[source].copy()
    extra["item_id"] = events["item_id"].to_numpy()[drawn]
    extra["timestamp"] = _later(extra["timestamp"], rng.integers(60, 600, len(source)))
    both = pd.concat([events, extra], ignore_index=True).sort_values("timestamp", kind="stable")
    what = f"{coded.categories[chosen]!r} grows by {growth:.0%} for {weeks:g} weeks, {len(starts)} times"
    return ShiftedLog(
        both.reset_index(drop=True),
        items,
        coded.users[np.unique(coded.user[source])],
        float(starts[0]),
        what,
    )


def collapse(
    events: pd.DataFrame,
    items: pd.DataFrame,
    *,
    users: pd.Index,
    start: float,
    rng: np.random.Generator,
    loss: float = 0.7,
    name: str = "one tier",
) -> ShiftedLog:
    """From the day on, these users lose a share of their baskets, drawn user by user: round(loss x baskets)."""
    day = to_days(events["timestamp"])
    late = np.flatnonzero((day >= start) & events["user_id"].isin(users).to_numpy(dtype=bool))
    basket, owner = _baskets(events.iloc[late])
    order = np.lexsort((rng.random(len(owner)), owner))
    first = np.searchsorted(owner[order], owner[order])
    count = np.bincount(owner)[owner[order]]
    lost = np.zeros(len(owner), bool)
    lost[order] = np.arange(len(order)) - first < np.round(loss * count)
    gone = np.zeros(len(events), bool)
    gone[late[lost[basket]]] = True
    what = f"{name} ({len(users)} users) does {loss:.0%} less"
    return ShiftedLog(events[~gone].reset_index(drop=True), items, pd.Index(users), start, what)


def placebo(events: pd.DataFrame, *, start: float, width: float, rng: np.random.Generator) -> pd.DataFrame:
    """Deal each user's baskets of two neighbouring windows of `width` days from `start` on at random to the two.

    A basket that changes window keeps its weekday and hour where the width is whole weeks. The windows are
    exchangeable by construction: whoever finds a difference between them is wrong. What lies outside is untouched.
    """
    day = to_days(events["timestamp"])
    inside = np.flatnonzero((day >= start) & (day < start + 2 * width))
    basket, owner = _baskets(events.iloc[inside])
    opens = np.full(len(owner), np.inf)
    np.minimum.at(opens, basket, day[inside])
    later = opens >= start + width
    wanted = rng.random(len(owner)) < 0.5
    shift = np.zeros(len(events))
    shift[inside] = ((wanted.astype(float) - later) * width)[basket]
    dealt = events.assign(timestamp=_later(events["timestamp"], 86_400 * shift))
    return dealt.sort_values("timestamp", kind="stable").reset_index(drop=True)


def _baskets(events: pd.DataFrame) -> tuple[IntArray, IntArray]:
    """Basket of each row, [N], and its user's code, [B]; without a session a user's day is one."""
    user, _ = pd.factorize(events["user_id"], sort=True)
    session, _ = pd.factorize(events["session_id"])
    day = events["timestamp"].dt.floor("D").astype("int64").to_numpy()
    visit = np.where(session >= 0, session, -1 - pd.factorize(day)[0])
    pairs = np.stack([user, visit], axis=1)
    unique, basket = np.unique(pairs, axis=0, return_inverse=True)
    return basket.ravel(), unique[:, 0]


def _chosen(known: BoolArray, able: BoolArray, share: float, rng: np.random.Generator) -> BoolArray:
    """A share of the known users, drawn among those who are able to move, [U]."""
    wanted, ready = round(share * int(known.sum())), np.flatnonzero(known & able)
    if wanted > len(ready):
        raise DataError(
            f"simulation: {wanted} users are to move and {len(ready)} can; lower the share or choose another target"
        )
    movers = np.zeros(len(known), bool)
    movers[rng.choice(ready, wanted, replace=False)] = True
    return movers


def _target(coded: EncodedLog, largest: IntArray, name: str | None, rng: np.random.Generator) -> int:
    """Code of the category of that name, or of one drawn among the largest."""
    if name is None:
        return int(rng.choice(largest))
    if name not in coded.categories:
        raise DataError(
            f"simulation: no category is called {name!r}; found {', '.join(map(str, coded.categories[:10]))}, ..."
        )
    return int(coded.categories.get_indexer(pd.Index([name]))[0])


def _redrawn(
    events: pd.DataFrame,
    coded: EncodedLog,
    hit: BoolArray,
    goal: IntArray,
    past: BoolArray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The rows that are hit [N] on items of the goal categories [M] instead, as popular as these were before."""
    drawn = coded.drawn(goal, past, rng)
    return _with_items(events, hit, events["item_id"].to_numpy(dtype=object)[drawn])


def _with_items(events: pd.DataFrame, hit: BoolArray, fresh: np.ndarray) -> pd.DataFrame:
    ids = events["item_id"].to_numpy(dtype=object).copy()
    ids[hit] = fresh
    return events.assign(item_id=pd.Series(ids, events.index, dtype=events["item_id"].dtype))


def _later(timestamps: pd.Series, seconds: FloatArray | IntArray) -> pd.Series:
    """The same type as before: a sum of another resolution would be read as another time."""
    return (timestamps + pd.to_timedelta(seconds, unit="s")).astype(timestamps.dtype)


def _during(day: FloatArray, starts: Sequence[float], weeks: float) -> BoolArray:
    held = np.zeros(len(day), bool)
    for start in starts:
        held |= (day >= start) & (day < start + 7 * weeks)
    return held
