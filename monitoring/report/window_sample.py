"""Samples a window's rows for Evidently: users with all their rows, up to a number of rows."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from monitoring.drift.feed.feed_log import events_between, is_interaction
from tierrec_core.base.contracts import Event, FloatArray
from tierrec_core.data.interactions import to_days

RECENCY, FREQUENCY = "recency (days since the last event)", "frequency (active days)"
MONEY, BREADTH = "money (paid in the window)", "breadth (distinct items)"
PER_USER = (RECENCY, FREQUENCY, MONEY, BREADTH)
UNKNOWN, NO_TIER = "unknown", "no tier"


def sample_window(
    events: pd.DataFrame,
    items: pd.DataFrame,
    tier_of: Mapping[str, str],
    start: float,
    end: float,
    max_rows: int,
    seed: int,
) -> pd.DataFrame:
    """At most max_rows EVENTS from day `start` to before day `end`, with the item's category and price and user's tier.

    Impressions and redemptions have neither category nor price. The PER_USER columns are filled in the user's first
    row only, so that each user counts once. The same seed samples the same users from every window that has them.
    """
    rows = sample_users(events_between(events, start, end), max_rows, seed).reset_index(drop=True)
    row_items = items.drop_duplicates("item_id").set_index("item_id").reindex(rows["item_id"])
    row_items, interaction = row_items.reset_index(drop=True), pd.Series(is_interaction(rows))
    user = rows["user_id"].astype(str)
    sample = pd.DataFrame(
        {
            "user_id": user,
            "tier": user.map(tier_of).fillna(NO_TIER),
            "category": _names(row_items["category"]).where(interaction),
            "event": _names(rows["event"]),
            "price": np.where(interaction, to_floats(row_items["price"]), np.nan),
            "value": to_floats(rows["value"]),
        }
    )
    return sample.join(_per_user(rows[interaction], end))


def sample_users(window: pd.DataFrame, max_rows: int, seed: int) -> pd.DataFrame:
    """All rows of a random sample of users, at most max_rows; users with more rows than that are left out."""
    if len(window) <= max_rows:
        return window
    size = window["user_id"].astype(str).value_counts().sort_index()
    size = size[size <= max_rows]
    # ordered by a hash of the id, so that samples of different windows share their users
    order = pd.util.hash_array(size.index.to_numpy(dtype=object), hash_key=f"{seed:016d}"[-16:])
    size = size.iloc[np.argsort(order, kind="stable")]
    return window[window["user_id"].isin(size.index[size.cumsum() <= max_rows])]


def to_floats(values: pd.Series) -> FloatArray:
    """Convert a column to floats, NaN where it is empty or not numeric."""
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _names(values: pd.Series) -> pd.Series:
    # Evidently writes names into a script without escaping them, so they must not open or close a tag
    return values.astype(object).fillna(UNKNOWN).astype(str).str.replace("<", "‹", regex=False)


def _per_user(interactions: pd.DataFrame, end: float) -> pd.DataFrame:
    """PER_USER at the index of each user's first interaction; no money where nothing has a price."""
    day = pd.Series(to_days(interactions["timestamp"]), index=interactions.index)
    value = pd.Series(to_floats(interactions["value"]), index=interactions.index)
    paid = value.where(interactions["event"] != Event.RATING)
    user = interactions["user_id"].astype(str)
    table = pd.DataFrame(
        {
            RECENCY: end - day.groupby(user).max(),
            FREQUENCY: day.floordiv(1).groupby(user).nunique().astype(float),
            MONEY: paid.groupby(user).sum(min_count=0 if paid.notna().any() else 1),
            BREADTH: interactions["item_id"].groupby(user).nunique().astype(float),
        }
    )
    first = user[~user.duplicated()]
    return table.reindex(first).set_axis(first.index)
