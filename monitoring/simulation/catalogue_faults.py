"""Synthetic faults of the catalogue and of prices: behaviour is unchanged, and its description is not."""

from typing import Literal

import numpy as np
import pandas as pd

from monitoring.drift.feed.feed_log import is_interaction
from monitoring.simulation.fault_period import FaultPeriod
from monitoring.simulation.synthetic_drift import ChangedLog
from tierrec_core.base.contracts import BoolArray

PricePart = Literal["all", "category", "channel", "rows"]
_PART = 0.3  # of the rows


def rename_categories(period: FaultPeriod, rng: np.random.Generator, num: int | None = 1) -> ChangedLog:
    """Give `num` of the larger categories other names; None renames all."""
    names = large_categories(period)
    picked = names if num is None else rng.choice(names, min(num, len(names)), replace=False)
    if num is None:
        picked = period.items["category"].dropna().unique()
    other = {str(name): f"{name} (range {number})" for number, name in enumerate(picked)}
    items = period.items.assign(category=period.items["category"].map(lambda name: other.get(name, name)))
    return period.replace_events(period.events, f"{len(other)} categories are renamed", items)


def merge_categories(period: FaultPeriod, rng: np.random.Generator, num: int = 2) -> ChangedLog:
    """Merge `num` of the larger categories into one with a new name."""
    picked = rng.choice(large_categories(period), num, replace=False)
    items = period.items.assign(
        category=period.items["category"].mask(period.items["category"].isin(picked), "merged range")
    )
    return period.replace_events(period.events, f"{num} categories are merged", items)


def relist_items(period: FaultPeriod, rng: np.random.Generator, share: float = 0.3) -> ChangedLog:
    """Relist a share of the items under new ids with the same content; the old ids stay in the catalogue."""
    ids = period.items["item_id"]
    relisted = ids[rng.random(len(ids)) < share]
    affected = period.inside & period.events["item_id"].isin(relisted).to_numpy(dtype=bool)
    affected &= is_interaction(period.events)
    events = period.events.assign(item_id=period.events["item_id"].mask(affected, "n" + period.events["item_id"]))
    again = period.items[ids.isin(relisted)]
    items = pd.concat([period.items, again.assign(item_id="n" + again["item_id"])], ignore_index=True)
    return period.replace_events(events, f"{share:.0%} of the items have new ids", items)


def change_price_unit(
    period: FaultPeriod, rng: np.random.Generator, factor: float = 100.0, part: PricePart = "all"
) -> ChangedLog:
    """Multiply the money of all rows, of one category, of one channel, or of a share of the rows, by a factor."""
    affected = period.inside & is_interaction(period.events) & _part(period, part, rng)
    events = period.events.assign(value=period.events["value"].mask(affected, period.events["value"] * factor))
    return period.replace_events(events, f"money of {part} is multiplied by {factor:g}")


def large_categories(period: FaultPeriod) -> np.ndarray:
    """Names of the larger half of the categories by their events before the period, at most ten."""
    before = period.between(-np.inf, period.start) & is_interaction(period.events)
    category = period.items.drop_duplicates("item_id").set_index("item_id")["category"].astype(object)
    count = category.reindex(period.events["item_id"][before].astype(object)).value_counts()
    return count.index.to_numpy()[: min(10, max(2, len(count) // 2))]


def rows_of_category(period: FaultPeriod, name: str) -> BoolArray:
    """Mask of the rows on items of a category, [N]."""
    ids = period.items["item_id"][period.items["category"].eq(name).fillna(value=False)]
    return period.events["item_id"].isin(ids).to_numpy(dtype=bool)


def _part(period: FaultPeriod, part: PricePart, rng: np.random.Generator) -> BoolArray:
    match part:
        case "all":
            return np.ones(len(period.events), bool)
        case "category":
            return rows_of_category(period, str(rng.choice(large_categories(period))))
        case "channel":
            channel = period.events["channel"][is_interaction(period.events)].value_counts().index[-1]
            return period.events["channel"].eq(channel).to_numpy(dtype=bool, na_value=False)
        case "rows":
            return rng.random(len(period.events)) < _PART
