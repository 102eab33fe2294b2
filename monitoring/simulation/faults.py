"""Synthetic faults of a feed and bot waves, which resemble drift and must be detected as faults."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from monitoring.simulation.catalogue_faults import change_price_unit, merge_categories, relist_items, rename_categories
from monitoring.simulation.fault_period import Fault, FaultPeriod
from monitoring.simulation.identity_faults import lose_users, mimics, rekey_users, scrapers
from monitoring.simulation.synthetic_drift import ChangedLog
from monitoring.simulation.tracking_faults import (
    double_kind,
    lose_category,
    lose_channel,
    near_duplicates,
    shift_clock,
    thin_kind,
)
from tierrec_core.base.contracts import EVENTS, Event
from tierrec_core.settings.loop import FaultKind

_BOT_START, _BOT_SECONDS, _DAY = 8 * 3600, 12 * 3600, 86_400  # seconds
FAULT_DAYS = 28.0


def missing_days(period: FaultPeriod, rng: np.random.Generator, days: int = 5) -> ChangedLog:
    """Drop `days` consecutive days, the first drawn at random."""
    first = period.start + int(rng.integers(0, max(1, int(period.end - period.start) - days)))
    return period.drop_rows(period.between(first, first + days), first, f"{days} days are missing")


def stale_feed(period: FaultPeriod, _rng: np.random.Generator, days: int = 7) -> ChangedLog:
    """Drop all rows from `days` days before the end on."""
    first = max(period.start, period.end - days)
    return period.drop_rows(period.between(first, np.inf), first, f"silent for {days} days")


def lost_rows(period: FaultPeriod, rng: np.random.Generator, share: float = 0.5) -> ChangedLog:
    """Drop a share of the rows at random."""
    lost = period.inside & (rng.random(len(period.events)) < share)
    return period.drop_rows(lost, period.start, f"{share:.0%} of the rows are lost")


def null_categories(period: FaultPeriod, rng: np.random.Generator, share: float = 0.4) -> ChangedLog:
    """Remove the category of a share of the items."""
    empty = rng.random(len(period.items)) < share
    items = period.items.assign(category=period.items["category"].mask(empty))
    what = f"{share:.0%} of the items have no category"
    return ChangedLog(period.events, items, pd.Index([]), period.start, what)


def foreign_items(period: FaultPeriod, rng: np.random.Generator, share: float = 0.4) -> ChangedLog:
    """Replace the item ids of a share of the rows by ids that are in no catalogue, as a broken join does."""
    affected = period.inside & (rng.random(len(period.events)) < share)
    ids = period.events["item_id"]
    events = period.events.assign(item_id=ids.mask(affected, "sku:" + ids))
    what = f"{share:.0%} of the rows have item ids of another scheme"
    return ChangedLog(events, period.items, pd.Index([]), period.start, what)


def duplicate_rows(period: FaultPeriod, rng: np.random.Generator, share: float = 0.3) -> ChangedLog:
    """Repeat a share of the rows."""
    again = period.events[period.inside & (rng.random(len(period.events)) < share)]
    return period.add_rows(again, pd.Index([]), f"{share:.0%} of the rows are duplicated")


def missing_kind(period: FaultPeriod, _rng: np.random.Generator, event: str = Event.CART) -> ChangedLog:
    """Drop all events of one name."""
    lost = period.inside & period.events["event"].eq(event).to_numpy(dtype=bool)
    return period.drop_rows(lost, period.start, f"no {event} events")


def bots(
    period: FaultPeriod,
    rng: np.random.Generator,
    kind: Literal["new", "hijacked"] = "new",
    num: int = 5,
    events_a_day: int = 400,
    num_items: int = 10,
) -> ChangedLog:
    """Add users, under new ids or hijacked ones, who repeat the same few events at even intervals every day."""
    past = period.events[period.between(-np.inf, period.start)]
    known = np.sort(past["user_id"].unique().astype(object))
    new = np.array([f"bot-{number}" for number in range(num)], dtype=object)
    users = rng.choice(known, num, replace=False) if kind == "hijacked" else new
    items = rng.choice(np.sort(past["item_id"].unique().astype(object)), num_items, replace=False)
    index = np.arange(int(np.ceil(period.end - period.start)) * events_a_day)
    day, step = index // events_a_day, index % events_a_day
    interval = _BOT_SECONDS // events_a_day
    second = np.floor(period.start) * _DAY + day * _DAY + _BOT_START + step * interval
    wave = pd.DataFrame(
        {
            "user_id": np.repeat(users, len(index)),
            "item_id": np.tile(items[index % num_items], num),
            "event": period.events["event"].mode().iloc[0],
            "timestamp": pd.to_datetime(np.tile(second, num), unit="s", utc=True),
            "value": float(past["value"].median()),
            "quantity": 1.0,
            "session_id": np.repeat(users, len(index)) + np.tile("-" + day.astype(str).astype(object), num),
            "channel": period.events["channel"].mode().iloc[0],
        }
    )
    what = f"{num} {kind} bots with {events_a_day} events a day each"
    return period.add_rows(EVENTS.conform(wave, "simulation"), pd.Index(users), what)


BROKEN_FEEDS: Mapping[str, Fault] = {
    "missing_days": missing_days,
    "stale": stale_feed,
    "thinned": lost_rows,
    "null_categories": null_categories,
    "foreign_items": foreign_items,
    "duplicates": duplicate_rows,
}
BOT_WAVES: Mapping[str, Fault] = {
    "few_bots": bots,
    "many_bots": partial(bots, num=40, events_a_day=60),
    "hijacked": partial(bots, kind="hijacked"),
}
CATALOGUE_FAULTS: Mapping[str, Fault] = {
    "renamed_category": rename_categories,
    "renamed_all": partial(rename_categories, num=None),
    "merged_categories": merge_categories,
    "relisted_items": relist_items,
    "price_x100": change_price_unit,
    "price_x0.92": partial(change_price_unit, factor=0.92),
    "price_x7.5": partial(change_price_unit, factor=7.5),
    "price_category": partial(change_price_unit, factor=0.92, part="category"),
    "price_channel": partial(change_price_unit, factor=7.5, part="channel"),
    "price_rows": partial(change_price_unit, part="rows"),
}
TRACKING_FAULTS: Mapping[str, Fault] = {
    "near_duplicates": near_duplicates,
    "doubled_kind": double_kind,
    "thinned_kind": thin_kind,
    "lost_category": lose_category,
    "lost_category_late": partial(lose_category, delay=14.0),
    "lost_channel": lose_channel,
    "clock_3_hours": shift_clock,
    "clock_12_hours": partial(shift_clock, hours=12.0),
    "clock_minus_5_hours": partial(shift_clock, hours=-5.0),
    "clock_day": partial(shift_clock, hours=24.0),
}
IDENTITY_FAULTS: Mapping[str, Fault] = {
    "rekeyed_users": rekey_users,
    "rekeyed_share": partial(rekey_users, share=0.3),
    "lost_users": lose_users,
    "scrapers": scrapers,
    "mimics_even": mimics,
    "mimics_unconverted": partial(mimics, kind="unconverted"),
    "mimics_perfect": partial(mimics, kind="perfect"),
}
# a perfect mimic is a person to the feed; a day's shift shows only where weekdays differ
INDISTINGUISHABLE = ("mimics_perfect", "clock_day")
EXPECTED_KINDS: Mapping[str, frozenset[FaultKind]] = {
    "missing_days": frozenset({"missing_days"}),
    "stale": frozenset({"stale", "missing_days"}),
    "thinned": frozenset({"collapse"}),
    **dict.fromkeys(("null_categories", "foreign_items"), frozenset({"unlabelled"})),
    "duplicates": frozenset({"duplicates"}),
    "missing_kind": frozenset({"lost_events"}),
    **dict.fromkeys(("renamed_category", "renamed_all", "merged_categories"), frozenset({"taxonomy"})),
    "relisted_items": frozenset({"relisting"}),
    **dict.fromkeys((name for name in CATALOGUE_FAULTS if name.startswith("price")), frozenset({"price"})),
    "near_duplicates": frozenset({"near_duplicates"}),
    "doubled_kind": frozenset({"event_ratio", "near_duplicates"}),
    "thinned_kind": frozenset({"event_ratio"}),
    **dict.fromkeys(("lost_category", "lost_category_late"), frozenset({"lost_category"})),
    "lost_channel": frozenset({"lost_channel"}),
    **dict.fromkeys((name for name in TRACKING_FAULTS if name.startswith("clock")), frozenset({"clock"})),
    **dict.fromkeys(("rekeyed_users", "rekeyed_share"), frozenset({"rekeyed_users"})),
    "lost_users": frozenset({"lost_users"}),
    **dict.fromkeys(
        (*BOT_WAVES, *(name for name in IDENTITY_FAULTS if name.startswith(("mimics", "scrapers")))),
        frozenset({"bots"}),
    ),
}
FAULTS: Mapping[str, Fault] = {
    **BROKEN_FEEDS,
    "missing_kind": missing_kind,
    **BOT_WAVES,
    **CATALOGUE_FAULTS,
    **TRACKING_FAULTS,
    **IDENTITY_FAULTS,
}
