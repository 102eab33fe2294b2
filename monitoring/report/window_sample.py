"""The rows of a window that Evidently looks at: whole users, drawn until a budget of rows is spent."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from monitoring.drift.measurement.encoded_events import interested, within
from tierrec_core.base.contracts import Event, FloatArray
from tierrec_core.data.interactions import to_days

RECENCY, FREQUENCY = "recency (days since the last act)", "frequency (active days)"
MONEY, BREADTH = "money (paid in the window)", "breadth (distinct items)"
PER_USER = (RECENCY, FREQUENCY, MONEY, BREADTH)
UNKNOWN, NO_TIER = "unknown", "no tier"


def frames(
    events: pd.DataFrame,
    items: pd.DataFrame,
    tier_of: Mapping[str, str],
    start: float,
    end: float,
    rows: int,
    seed: int,
) -> pd.DataFrame:
    """At most `rows` EVENTS from day start to before day end, with the item's category and price and the user's tier.

    Impressions and redemptions are no acts of interest: they have neither category nor price here.
    What is known once a user, PER_USER, stands in the first of the user's rows and is empty in the others, so that
    it counts once. The same seed draws the same users from every window in which they are.
    """
    found = drawn(within(events, start, end), rows, seed).reset_index(drop=True)
    known = items.drop_duplicates("item_id").set_index("item_id").reindex(found["item_id"])
    known, act = known.reset_index(drop=True), pd.Series(interested(found))
    user = found["user_id"].astype(str)
    made = pd.DataFrame(
        {
            "user_id": user,
            "tier": user.map(tier_of).fillna(NO_TIER),
            "category": _names(known["category"]).where(act),
            "event": _names(found["event"]),
            "price": np.where(act, numbers(known["price"]), np.nan),
            "value": numbers(found["value"]),
        }
    )
    return made.join(_per_user(found[act], end))


def drawn(window: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Rows of whole users, at most so many; whoever has more than that alone is left out."""
    if len(window) <= rows:
        return window
    size = window["user_id"].astype(str).value_counts().sort_index()
    size = size[size <= rows]
    # a user's place is a hash of the id, not a draw among those who are there, so that windows share their users
    place = pd.util.hash_array(size.index.to_numpy(dtype=object), hash_key=f"{seed:016d}"[-16:])
    size = size.iloc[np.argsort(place, kind="stable")]
    return window[window["user_id"].isin(size.index[size.cumsum() <= rows])]


def numbers(values: pd.Series) -> FloatArray:
    """A column as floats, NaN where it is empty or no number."""
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _names(values: pd.Series) -> pd.Series:
    # Evidently writes names into a script without escaping them, so nothing may open or close a tag there
    return values.astype(object).fillna(UNKNOWN).astype(str).str.replace("<", "‹", regex=False)


def _per_user(acts: pd.DataFrame, end: float) -> pd.DataFrame:
    """PER_USER under the index of each user's first act."""
    day = pd.Series(to_days(acts["timestamp"]), index=acts.index)
    paid = pd.Series(numbers(acts["value"]), index=acts.index).where(acts["event"] != Event.RATING, 0.0)
    user = acts["user_id"].astype(str)
    one = pd.DataFrame(
        {
            RECENCY: end - day.groupby(user).max(),
            FREQUENCY: day.floordiv(1).groupby(user).nunique().astype(float),
            MONEY: paid.groupby(user).sum(),
            BREADTH: acts["item_id"].groupby(user).nunique().astype(float),
        }
    )
    first = user[~user.duplicated()]
    return one.reindex(first).set_axis(first.index)
