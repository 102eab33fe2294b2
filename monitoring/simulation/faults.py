"""What breaks a feed or floods it: faults of the data that look like a change of the users, and are none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from monitoring.simulation.synthetic_drift import ShiftedLog
from tierrec_core.base.contracts import EVENTS, BoolArray, Event
from tierrec_core.data.interactions import to_days

_OPENS, _OPEN, _DAY = 8 * 3600, 12 * 3600, 86_400  # seconds
LASTS = 28.0  # days of a fault that somebody mends


@dataclass(frozen=True)
class FaultPeriod:
    """A log, and the part of it that breaks: from day `start` to before day `end`, days since 1970 UTC."""

    events: pd.DataFrame
    items: pd.DataFrame
    start: float
    end: float

    @property
    def inside(self) -> BoolArray:
        """Which rows lie in that part, [N]."""
        return self.between(self.start, self.end)

    def between(self, start: float, end: float) -> BoolArray:
        """Which rows lie from one day to before another, [N]."""
        day = to_days(self.events["timestamp"])
        found: BoolArray = (day >= start) & (day < end)
        return found

    def without(self, lost: BoolArray, start: float, what: str) -> ShiftedLog:
        """The log without some of its rows."""
        return ShiftedLog(self.events[~lost].reset_index(drop=True), self.items, pd.Index([]), start, what)

    def together(self, extra: pd.DataFrame, users: pd.Index, what: str) -> ShiftedLog:
        """The log with further rows."""
        both = pd.concat([self.events, extra], ignore_index=True).sort_values("timestamp", kind="stable")
        return ShiftedLog(both.reset_index(drop=True), self.items, users, self.start, what)


Fault: TypeAlias = Callable[[FaultPeriod, np.random.Generator], ShiftedLog]


def missing_days(span: FaultPeriod, rng: np.random.Generator, days: int = 5) -> ShiftedLog:
    """So many days in a row hold nothing; the first is drawn so that the last lies before the end."""
    first = span.start + int(rng.integers(0, max(1, int(span.end - span.start) - days)))
    return span.without(span.between(first, first + days), first, f"{days} days are missing")


def stale(span: FaultPeriod, _rng: np.random.Generator, days: int = 7) -> ShiftedLog:
    """Nothing comes any more, from so many days before the end on."""
    first = max(span.start, span.end - days)
    return span.without(span.between(first, np.inf), first, f"silent for {days} days")


def thinned(span: FaultPeriod, rng: np.random.Generator, share: float = 0.5) -> ShiftedLog:
    """A share of the rows is lost at random, whosever they are: half of the shops no longer report."""
    lost = span.inside & (rng.random(len(span.events)) < share)
    return span.without(lost, span.start, f"{share:.0%} of the rows are lost")


def null_categories(span: FaultPeriod, rng: np.random.Generator, share: float = 0.4) -> ShiftedLog:
    """The catalogue comes without the category of a share of its items."""
    empty = rng.random(len(span.items)) < share
    broken = span.items.assign(category=span.items["category"].mask(empty))
    return ShiftedLog(
        span.events, broken, pd.Index([]), span.start, f"{share:.0%} of the items have no category"
    )


def foreign_items(span: FaultPeriod, rng: np.random.Generator, share: float = 0.4) -> ShiftedLog:
    """A share of the rows names items by ids of another scheme, which no catalogue knows: a broken join."""
    hit = span.inside & (rng.random(len(span.events)) < share)
    ids = span.events["item_id"]
    broken = span.events.assign(item_id=ids.mask(hit, "sku:" + ids))
    what = f"{share:.0%} of the rows have item ids of another scheme"
    return ShiftedLog(broken, span.items, pd.Index([]), span.start, what)


def duplicates(span: FaultPeriod, rng: np.random.Generator, share: float = 0.3) -> ShiftedLog:
    """A share of the rows is delivered twice, equal in every column."""
    again = span.events[span.inside & (rng.random(len(span.events)) < share)]
    return span.together(again, pd.Index([]), f"{share:.0%} of the rows come twice")


def missing_kind(span: FaultPeriod, _rng: np.random.Generator, event: str = Event.CART) -> ShiftedLog:
    """One kind of event no longer comes."""
    lost = span.inside & span.events["event"].eq(event).to_numpy(dtype=bool)
    return span.without(lost, span.start, f"no {event} comes any more")


def bots(
    span: FaultPeriod,
    rng: np.random.Generator,
    kind: Literal["new", "hijacked"] = "new",
    num: int = 5,
    events_a_day: int = 400,
    num_items: int = 10,
) -> ShiftedLog:
    """So many users do the same few things, one after the other at even intervals, day after day.

    new: they come with the wave; hijacked: their ids are those of users who were there before
    """
    real = span.events[span.between(-np.inf, span.start)]
    known = np.sort(real["user_id"].unique().astype(object))
    new = np.array([f"bot-{number}" for number in range(num)], dtype=object)
    who = rng.choice(known, num, replace=False) if kind == "hijacked" else new
    pattern = rng.choice(np.sort(real["item_id"].unique().astype(object)), num_items, replace=False)
    act = np.arange(int(np.ceil(span.end - span.start)) * events_a_day)
    day, step = act // events_a_day, act % events_a_day
    second = np.floor(span.start) * _DAY + day * _DAY + _OPENS + step * (_OPEN // events_a_day)
    wave = pd.DataFrame(
        {
            "user_id": np.repeat(who, len(act)),
            "item_id": np.tile(pattern[act % num_items], num),
            "event": span.events["event"].mode().iloc[0],
            "timestamp": pd.to_datetime(np.tile(second, num), unit="s", utc=True),
            "value": float(real["value"].median()),
            "quantity": 1.0,
            "session_id": np.repeat(who, len(act)) + np.tile("-" + day.astype(str).astype(object), num),
            "channel": span.events["channel"].mode().iloc[0],
        }
    )
    what = f"{num} {kind} bots with {events_a_day} events a day each"
    return span.together(EVENTS.conform(wave, "simulation"), pd.Index(who), what)


def many_bots(span: FaultPeriod, rng: np.random.Generator) -> ShiftedLog:
    """A wave in which none does very much."""
    return bots(span, rng, num=40, events_a_day=60)


def hijacked(span: FaultPeriod, rng: np.random.Generator) -> ShiftedLog:
    """A wave under the ids of known users."""
    return bots(span, rng, kind="hijacked")


BROKEN_FEEDS: Mapping[str, Fault] = {
    "missing_days": missing_days,
    "stale": stale,
    "thinned": thinned,
    "null_categories": null_categories,
    "foreign_items": foreign_items,
    "duplicates": duplicates,
}
BOT_WAVES: Mapping[str, Fault] = {"few_bots": bots, "many_bots": many_bots, "hijacked": hijacked}
FAULTS: Mapping[str, Fault] = {**BROKEN_FEEDS, "missing_kind": missing_kind, **BOT_WAVES}
