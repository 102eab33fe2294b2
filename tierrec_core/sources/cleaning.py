"""Cleaning of a validated log, as Ibis expressions run by DuckDB or Spark."""

from dataclasses import dataclass
from typing import Any

import ibis
import pandas as pd
from ibis import _

from tierrec_core.base.contracts import EVENTS, Event
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.settings import PrepareSettings

_ORDER = ["timestamp", *(name for name in EVENTS.columns if name != "timestamp")]


@dataclass(frozen=True)
class CleaningReport:
    """Rows that came in, rows that went by reason, and what is left."""

    events_in: int
    duplicates: int
    bot_users: int
    bot_events: int
    returned_events: int
    inactive_users: int
    inactive_events: int
    events: int
    users: int


def prepare(events: pd.DataFrame, settings: PrepareSettings) -> tuple[pd.DataFrame, CleaningReport]:
    """Clean an EVENTS frame: duplicates, bots, returns and inactive users go, sessions come; ordered by time.

    Raises EmptyDataError when nothing is left.
    """
    backend = _connect(settings.engine)
    naive = events.assign(timestamp=events["timestamp"].dt.tz_convert(None))
    unique = _keep(backend, "unique_events", ibis.memtable(naive[_ORDER]).distinct())
    human = _keep(backend, "human_events", _without(unique, _bots(unique, settings.max_events_per_day)))
    kept = _keep(backend, "kept_events", _without_returns(human))
    active = _keep(backend, "active_events", _without(kept, _inactive(kept, settings.min_events_per_user)))
    clean = _with_sessions(active, settings.session_gap_minutes).order_by(_ORDER).to_pandas()
    report = _report(len(events), unique, human, kept, active)
    if not report.events:
        raise EmptyDataError(
            f"prepare: none of {len(events)} events is left ({report.bot_events} of bots, "
            f"{report.returned_events} returned, {report.inactive_events} of inactive users); "
            "raise prepare.max_events_per_day or lower prepare.min_events_per_user"
        )
    clean["timestamp"] = clean["timestamp"].dt.tz_localize("UTC")
    return EVENTS.conform(clean, "prepare"), report


def _connect(engine: str) -> Any:
    if engine == "duckdb":
        return ibis.duckdb.connect()
    from pyspark.sql import SparkSession

    session = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    return ibis.pyspark.connect(session)


def _keep(backend: Any, name: str, table: Any) -> Any:
    """Carry out what leads to the table, once.

    Spark's tables outlive the run and are overwritten. DuckDB's are new with each connection, and Ibis 12
    cannot overwrite there: DuckDB 2 refuses its DROP TABLE IF EXISTS.
    """
    return backend.create_table(name, table, overwrite=backend.name != "duckdb")


def _bots(events: Any, max_events_per_day: int) -> Any:
    """Users who did more than max_events_per_day on any day, UTC."""
    daily = events.group_by("user_id", day=_.timestamp.truncate("D")).aggregate(count=_.count())
    return daily.filter(_["count"] > max_events_per_day).select("user_id").distinct()


def _inactive(events: Any, min_events_per_user: int) -> Any:
    """Users with fewer than min_events_per_user events."""
    totals = events.group_by("user_id").aggregate(count=_.count())
    return totals.filter(_["count"] < min_events_per_user).select("user_id")


def _without(events: Any, users: Any) -> Any:
    return events.anti_join(users, "user_id")


def _without_returns(events: Any) -> Any:
    """Drop each return with the newest earlier purchase of the same user and item that is not yet returned.

    Purchases open and returns close a bracket. Brackets of one depth alternate, so that a purchase is
    returned exactly when the next row of its depth is a return; a return without a purchase drops alone.
    """
    is_return = (_.quantity < 0).fill_null(False) | (_.value < 0).fill_null(False)
    bought = events.filter(_.event == Event.PURCHASE).mutate(returned=is_return)
    pair = ["user_id", "item_id"]
    so_far = ibis.window(group_by=pair, order_by=_ORDER, preceding=None, following=0)
    bought = bought.mutate(balance=ibis.ifelse(_.returned, -1, 1).sum().over(so_far))
    bought = bought.mutate(lowest=_.balance.min().over(so_far))
    bought = bought.mutate(level=_.balance - ibis.least(_.lowest, 0) + _.returned.cast("int64"))
    next_one = ibis.window(group_by=[*pair, "level"], order_by=_ORDER)
    bought = bought.mutate(closed=_.returned.lead().over(next_one).fill_null(False))
    sold = bought.filter(~_.returned & ~_.closed).select(_ORDER)
    return sold.union(events.filter(_.event != Event.PURCHASE).select(_ORDER))


def _with_sessions(events: Any, gap_minutes: float) -> Any:
    """Number the visits of a user where the log has no session: a longer pause than gap_minutes parts two."""
    given = events.filter(_.session_id.notnull())
    own = ibis.window(group_by="user_id", order_by=_ORDER)
    until_now = ibis.window(group_by="user_id", order_by=_ORDER, preceding=None, following=0)
    seconds = _.timestamp.epoch_seconds()
    bare = events.filter(_.session_id.isnull()).mutate(pause=seconds - seconds.lag().over(own))
    bare = bare.mutate(visit=(_.pause > gap_minutes * 60).fill_null(False).cast("int64").sum().over(until_now))
    bare = bare.mutate(session_id=_.user_id + "-visit-" + _.visit.cast("string"))
    return given.select(_ORDER).union(bare.select(_ORDER))


def _report(events_in: int, unique: Any, human: Any, kept: Any, active: Any) -> CleaningReport:
    rows, users = zip(*(_size(table) for table in (unique, human, kept, active)), strict=True)
    return CleaningReport(
        events_in=events_in,
        duplicates=events_in - rows[0],
        bot_users=users[0] - users[1],
        bot_events=rows[0] - rows[1],
        returned_events=rows[1] - rows[2],
        inactive_users=users[2] - users[3],
        inactive_events=rows[2] - rows[3],
        events=rows[3],
        users=users[3],
    )


def _size(table: Any) -> tuple[int, int]:
    size = table.aggregate(rows=_.count(), users=_.user_id.nunique()).to_pandas().iloc[0]
    return int(size["rows"]), int(size["users"])
