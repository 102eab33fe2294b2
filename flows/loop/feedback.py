"""What the loop reads from the feedback store: events for the stages, online metrics, and served lists."""

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from flows.project.champion import Champion
from flows.project.feedback_store import existing_store
from monitoring.drift import OnlineMetrics
from monitoring.report.served_lists import CUTOFF, ServedLists
from services.store.export import export_for_ingest
from tierrec_core import sources
from tierrec_core.base.contracts import EVENT_NAMES, EVENTS
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import Settings
from tierrec_core.sources import SourceFrames
from tierrec_core.sources.cleaning import prepare

SURFACE = "products"  # its lists predict behaviour; those of other surfaces answer a query


def export_feedback(layout: Layout, settings: Settings) -> int:
    """Write the store's rows where ingest reads them; returns the number of events. Needs source.feedback."""
    if not settings.source.feedback:
        return 0
    with existing_store(layout) as store:
        return 0 if store is None else export_for_ingest(store, layout.feedback)


def read_newest_log(layout: Layout, settings: Settings) -> SourceFrames:
    """The four frames that ingest would write now; nothing in the project changes."""
    with tempfile.TemporaryDirectory(prefix="tierrec-feedback-") as scratch:
        if settings.source.feedback:
            with existing_store(layout) as store:
                if store is not None:
                    export_for_ingest(store, Path(scratch))
        return sources.read_source(settings.source, layout.root, settings.seed, Path(scratch))


def clean_events(events: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """EVENTS after the prepare stage, without the rows that the data gate would quarantine."""
    complete = events.dropna(subset=EVENTS.required)
    return prepare(complete[complete["event"].isin(EVENT_NAMES)], settings.prepare)[0]


def read_online_metrics(layout: Layout, champion: Champion, settings: Settings, now: datetime) -> OnlineMetrics | None:
    """Metrics of users who saw the champion's lists in both windows up to now; None without such users.

    Raises StoreError when the store does not answer.
    """
    width, version = timedelta(days=settings.monitor.window_days), champion.model.partition(":")[2]
    goal, horizon = settings.rollout.goal, settings.rollout.horizon_hours
    with existing_store(layout) as store:
        if store is None:
            return None
        after = store.outcomes_by_version(now - width, goal, horizon)
        before = store.outcomes_by_version(now - 2 * width, goal, horizon, until=now - width)
    before, after = (
        frame.loc[frame["model_version"] == version, ["user_id", "impressions", "conversions"]]
        for frame in (before, after)
    )
    merged = before.merge(after, on="user_id", suffixes=("_before", "_after"))
    if merged.empty:
        return None
    columns = ("impressions_before", "conversions_before", "impressions_after", "conversions_after")
    return OnlineMetrics((f"{champion.bento} champion",), *(merged[name].to_numpy()[None] for name in columns))


def read_served_lists(
    layout: Layout, champion: Champion, settings: Settings, events: pd.DataFrame, start: float, end: float
) -> ServedLists | None:
    """Each user's first list of the champion from day start to before day end, and the items they converted on.

    events: EVENTS until now; conversions count within rollout.horizon_hours after the list. At most
    monitor.report_rows list positions. None without a feedback store. Raises StoreError when it does not answer.
    """
    window = (from_days(start).to_pydatetime(), from_days(end).to_pydatetime())
    num_users = max(settings.monitor.report_rows // CUTOFF, 1)
    with existing_store(layout) as store:
        if store is None:
            return None
        shown = store.first_lists(champion.model.partition(":")[2], SURFACE, *window, num_users)
    return ServedLists(_ranked_items(shown), _conversions(shown, events, settings))


def _ranked_items(shown: pd.DataFrame) -> pd.DataFrame:
    """user_id, item_id, rank from 1 up to CUTOFF."""
    rows = [
        (user, item, rank)
        for user, items in zip(shown["user_id"], shown["items"], strict=True)
        for rank, item in enumerate(items[:CUTOFF], start=1)
    ]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "rank"]).astype({"rank": "int64"})


def _conversions(shown: pd.DataFrame, events: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """user_id, item_id of goal events after the user's list and within the horizon."""
    goals = events.loc[events["event"] == settings.rollout.goal, ["user_id", "item_id", "timestamp"]]
    goals = goals.astype({"user_id": object, "item_id": object}).merge(shown[["user_id", "at"]], on="user_id")
    delay = pd.to_datetime(goals["timestamp"], utc=True) - pd.to_datetime(goals["at"], utc=True)
    horizon = pd.Timedelta(hours=settings.rollout.horizon_hours)
    return goals.loc[(delay >= pd.Timedelta(0)) & (delay <= horizon), ["user_id", "item_id"]]
