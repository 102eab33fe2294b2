"""Synthetic faults of tracking: events sent twice or lost, feeds that end, and clocks that are wrong."""

import numpy as np
import pandas as pd

from monitoring.drift.feed.feed_log import is_interaction
from monitoring.simulation.catalogue_faults import large_categories, rows_of_category
from monitoring.simulation.fault_period import FaultPeriod
from monitoring.simulation.synthetic_drift import ChangedLog, add_seconds
from tierrec_core.base.contracts import BoolArray

_RETRY_SECONDS = (600, 7_200)


def near_duplicates(period: FaultPeriod, rng: np.random.Generator, share: float = 0.1, seconds: int = 5) -> ChangedLog:
    """Repeat a share of the rows up to `seconds` later."""
    again = period.events[period.inside & is_interaction(period.events) & (rng.random(len(period.events)) < share)]
    again = again.assign(timestamp=add_seconds(again["timestamp"], rng.integers(1, seconds + 1, len(again))))
    return period.add_rows(again, pd.Index([]), f"{share:.0%} of the rows come again within {seconds} seconds")


def double_kind(period: FaultPeriod, rng: np.random.Generator, event: str | None = None) -> ChangedLog:
    """Send all events of one kind (default: drawn) again, ten minutes to two hours later."""
    again = period.events[_of_kind(period, rng, event)]
    later = rng.integers(*_RETRY_SECONDS, len(again))
    again = again.assign(timestamp=add_seconds(again["timestamp"], later))
    return period.add_rows(again, pd.Index([]), "one kind of event is doubled")


def thin_kind(
    period: FaultPeriod, rng: np.random.Generator, event: str | None = None, share: float = 0.5
) -> ChangedLog:
    """Lose a share of the events of one kind (default: drawn)."""
    lost = _of_kind(period, rng, event) & (rng.random(len(period.events)) < share)
    return period.drop_rows(lost, period.start, f"{share:.0%} of one kind of event are lost")


def lose_category(period: FaultPeriod, rng: np.random.Generator, delay: float = 0.0) -> ChangedLog:
    """Lose all rows of one of the larger categories from `delay` days after the start on."""
    first = period.start + delay
    lost = period.between(first, period.end) & rows_of_category(period, str(rng.choice(large_categories(period))))
    return period.drop_rows(lost, first, "the feed of a category is lost")


def lose_channel(period: FaultPeriod, rng: np.random.Generator, delay: float = 0.0) -> ChangedLog:
    """Lose all rows of one channel, drawn among all but the largest, from `delay` days after the start on."""
    channels = period.events["channel"][is_interaction(period.events)].value_counts().index[1:]
    first = period.start + delay
    lost = period.between(first, period.end) & is_interaction(period.events)
    lost &= period.events["channel"].eq(rng.choice(channels)).to_numpy(dtype=bool, na_value=False)
    return period.drop_rows(lost, first, "the feed of a channel is lost")


def shift_clock(period: FaultPeriod, _rng: np.random.Generator, hours: float = 3.0) -> ChangedLog:
    """Move the clock of all rows by some hours; rows that leave the period are kept."""
    seconds = np.where(period.inside, 3_600 * hours, 0.0)
    moved = period.events.assign(timestamp=add_seconds(period.events["timestamp"], seconds))
    kept = moved[~(period.inside & (moved["timestamp"] < period.first_time).to_numpy())]
    return period.replace_events(kept, f"the clock is {hours:+g} hours off")


def _of_kind(period: FaultPeriod, rng: np.random.Generator, event: str | None) -> BoolArray:
    rows = period.inside & is_interaction(period.events)
    kinds = np.sort(period.events["event"][rows].unique().astype(object))
    return rows & period.events["event"].eq(rng.choice(kinds) if event is None else event).to_numpy(dtype=bool)
