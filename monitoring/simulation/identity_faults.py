"""Synthetic faults of user ids, and machines: re-keyed and lost users, scrapers, and bots that mimic persons."""

from typing import Literal

import numpy as np
import pandas as pd

from monitoring.drift.feed.feed_log import is_interaction
from monitoring.simulation.fault_period import FaultPeriod
from monitoring.simulation.synthetic_drift import ChangedLog
from tierrec_core.base.contracts import EVENTS, Event, IntArray

_DAY, _OPENS, _HOURS = 86_400, 8 * 3_600, 12 * 3_600  # seconds
Mimicry = Literal["even", "unconverted", "perfect"]


def rekey_users(period: FaultPeriod, rng: np.random.Generator, share: float = 1.0) -> ChangedLog:
    """Give a share of the users other ids."""
    users = np.sort(period.events["user_id"].unique().astype(object))
    picked = users[rng.random(len(users)) < share]
    affected = period.inside & period.events["user_id"].isin(picked).to_numpy(dtype=bool)
    ids = period.events["user_id"]
    return period.replace_events(
        period.events.assign(user_id=ids.mask(affected, "k" + ids)), f"{share:.0%} of the users have other ids"
    )


def lose_users(period: FaultPeriod, rng: np.random.Generator, share: float = 0.5) -> ChangedLog:
    """Lose all rows of a share of the users."""
    users = np.sort(period.events["user_id"].unique().astype(object))
    gone = period.events["user_id"].isin(users[rng.random(len(users)) < share]).to_numpy(dtype=bool)
    return period.drop_rows(period.inside & gone, period.start, f"{share:.0%} of the users are gone")


def scrapers(period: FaultPeriod, rng: np.random.Generator, share: float = 0.01, events_a_day: int = 25) -> ChangedLog:
    """Let machines walk through the catalogue at even intervals under the ids of a share of the known users."""
    known = _active_users(period)
    users = rng.choice(known, max(3, round(share * len(known))), replace=False)
    items = np.sort(period.events["item_id"][is_interaction(period.events)].unique().astype(object))
    rng.shuffle(items)
    seconds = _even_seconds(period, events_a_day)
    event = np.array([period.events["event"].mode().iloc[0]], dtype=object)
    parts = []
    for number, user in enumerate(users):
        walk = items[(np.arange(len(seconds)) + number * len(seconds)) % len(items)]
        parts.append(_events(period, user, walk, np.resize(event, len(seconds)), seconds + 7 * number))
    return period.add_rows(_conform(parts), pd.Index(users), f"{len(users)} scrapers under known ids")


def mimics(period: FaultPeriod, rng: np.random.Generator, kind: Mimicry = "even", share: float = 0.1) -> ChangedLog:
    """Add bots under own ids with the volume of persons on popular items: as many as a share of the active users.

    even: at even intervals; unconverted: at a person's times and without a purchase; perfect: like persons
    """
    rows = period.events[period.inside & is_interaction(period.events)]
    users, count = np.unique(rows["user_id"].to_numpy(dtype=object), return_counts=True)
    persons = users[count >= np.median(count)]
    models = rng.choice(persons, max(3, round(share * len(users))), replace=True)
    by_user = dict(tuple(rows.groupby("user_id")))
    parts = [_mimic(period, by_user[user], f"visitor-{number}", kind, rng) for number, user in enumerate(models)]
    names = pd.Index([f"visitor-{number}" for number in range(len(models))])
    return period.add_rows(_conform(parts), names, f"{len(models)} bots mimic persons ({kind})")


def _mimic(period: FaultPeriod, own: pd.DataFrame, name: str, kind: Mimicry, rng: np.random.Generator) -> pd.DataFrame:
    """A bot with as many events as a person [N], on items drawn by their popularity."""
    past = period.events[period.between(-np.inf, period.start) & is_interaction(period.events)]
    items = past["item_id"].to_numpy(dtype=object)[rng.integers(len(past), size=len(own))]
    events = own["event"].to_numpy(dtype=object)
    seconds = own["timestamp"].astype("int64").to_numpy() // 1_000_000
    if kind == "unconverted":
        others = past["event"][past["event"] != Event.PURCHASE].mode()
        events = np.resize(np.array([others.iloc[0] if len(others) else Event.PURCHASE], dtype=object), len(own))
    if kind == "even":
        num_days = int(np.ceil(period.end - period.start))
        seconds = _even_seconds(period, -(-len(own) // num_days))[: len(own)] + int(rng.integers(600))
        return _events(period, name, items, events, seconds)
    return _events(period, name, items, events, seconds + 60)


def _active_users(period: FaultPeriod) -> np.ndarray:
    past = period.events[period.between(period.start - (period.end - period.start), period.start)]
    return np.sort(past["user_id"].unique().astype(object))


def _even_seconds(period: FaultPeriod, events_a_day: int) -> IntArray:
    """Seconds since 1970 of so many events a day at even intervals during the period."""
    index = np.arange(int(np.ceil(period.end - period.start)) * events_a_day)
    day, step = index // events_a_day, index % events_a_day
    return int(np.floor(period.start)) * _DAY + day * _DAY + _OPENS + step * (_HOURS // events_a_day)


def _events(period: FaultPeriod, user: str, items: np.ndarray, event: np.ndarray, seconds: IntArray) -> pd.DataFrame:
    usual = period.events["value"][period.events["event"].eq(Event.PURCHASE)].median()
    bought = event == Event.PURCHASE
    return pd.DataFrame(
        {
            "user_id": user,
            "item_id": items,
            "event": event,
            "timestamp": pd.to_datetime(pd.Series(seconds), unit="s", utc=True),
            "value": np.where(bought, float(usual), np.nan),
            "quantity": np.where(bought, 1.0, np.nan),
            "session_id": user + "-" + pd.Series(seconds // _DAY).astype(str),
            "channel": period.events["channel"].mode().iloc[0],
        }
    )


def _conform(parts: list[pd.DataFrame]) -> pd.DataFrame:
    return EVENTS.conform(pd.concat(parts, ignore_index=True), "simulation")
