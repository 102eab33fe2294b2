"""What the champion's lists were worth lately: users' conversions in the newest window and in the one before it."""

from datetime import datetime, timedelta

import pandas as pd

from flows.loop.champion import Champion
from flows.loop.feeding import opened_store
from monitoring.drift import Online
from tierrec_core.layout import Layout
from tierrec_core.settings import Settings


def online(layout: Layout, champion: Champion, settings: Settings, now: datetime) -> Online | None:
    """Of users who saw the champion's lists in both windows, which end by the clock; None where nobody did.

    Raises StoreError when the store does not answer.
    """
    width, version = timedelta(days=settings.monitor.window_days), champion.model.partition(":")[2]
    goal, horizon = settings.rollout.goal, settings.rollout.horizon_hours
    with opened_store(layout) as store:
        if store is None:
            return None
        after = store.outcomes_by_version(now - width, goal, horizon)
        before = store.outcomes_by_version(now - 2 * width, goal, horizon, until=now - width)
    both = _of(before, version).merge(_of(after, version), on="user_id", suffixes=("_before", "_after"))
    if both.empty:
        return None
    columns = ("impressions_before", "conversions_before", "impressions_after", "conversions_after")
    return Online((f"{champion.bento} champion",), *(both[name].to_numpy()[None] for name in columns))


def _of(frame: pd.DataFrame, version: str) -> pd.DataFrame:
    return frame.loc[frame["model_version"] == version, ["user_id", "impressions", "conversions"]]
