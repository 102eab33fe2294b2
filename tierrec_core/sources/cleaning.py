"""Cleans a validated log by Ibis expressions on DuckDB or Spark."""

from dataclasses import asdict, dataclass
from typing import Any

import ibis
import pandas as pd
from ibis import _

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS, Event, is_guest
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import PrepareSettings, Settings

_ROUNDING = 1e-9
_ORDER = ["timestamp", *(name for name in EVENTS.columns if name != "timestamp")]


@dataclass(frozen=True)
class CleaningReport:
    """Number of input events, of removed ones by reason, and of remaining ones."""

    events_in: int
    duplicates: int
    bot_users: int
    bot_events: int
    returned_events: int
    inactive_users: int
    inactive_events: int
    events: int
    users: int


def run(layout: Layout, settings: Settings) -> None:
    """Stage prepare: write the prepared EVENTS of users and of guests, and the report; print the counts."""
    events = artifacts.read_frame(layout.valid_events, EVENTS)
    guests = is_guest(events)
    if guests.all():
        raise EmptyDataError(f"prepare: all {len(events)} events are of guests, wanted users; correct source.guests")
    clean, report = prepare(events[~guests], settings.prepare)
    artifacts.write_frame(clean, layout.prepared_events)
    artifacts.write_frame(prepare_guests(events[guests], settings.prepare), layout.prepared_guests)
    artifacts.write_json(asdict(report), layout.preparation)
    print(f"{report.events} of {report.events_in} events are left, of {report.users} users")  # noqa: T201


def prepare(events: pd.DataFrame, settings: PrepareSettings) -> tuple[pd.DataFrame, CleaningReport]:
    """Remove duplicates, bots, returns and inactive users from EVENTS, and add sessions; ordered by time.

    Raises EmptyDataError when no event is left.
    """
    backend = _connect(settings.engine)
    unique = _compute(backend, "unique_events", _table(events).distinct())
    bots = _bots(unique, settings.max_events_per_day)
    human = _compute(backend, "human_events", unique.anti_join(bots, "user_id"))
    sold = _compute(backend, "sold_events", _without_returns(human))
    inactive = _inactive(sold, settings.min_events_per_user)
    active = _compute(backend, "active_events", sold.anti_join(inactive, "user_id"))
    clean = _with_sessions(active, settings.session_gap_minutes).order_by(_ORDER).to_pandas()
    report = _report(len(events), unique, human, sold, active)
    if not report.events:
        raise EmptyDataError(
            f"prepare: none of {len(events)} events is left ({report.bot_events} of bots, "
            f"{report.returned_events} returned, {report.inactive_events} of inactive users); "
            "raise prepare.max_events_per_day or lower prepare.min_events_per_user"
        )
    return _frame(clean), report


def prepare_guests(events: pd.DataFrame, settings: PrepareSettings) -> pd.DataFrame:
    """Remove returns from the EVENTS of guests, of whom several may do the same; ordered by time."""
    sold = _compute(_connect(settings.engine), "guests", _without_returns(_table(events)))
    return _frame(sold.order_by(_ORDER).to_pandas())


def _table(events: pd.DataFrame) -> Any:
    return ibis.memtable(events.assign(timestamp=events["timestamp"].dt.tz_convert(None))[_ORDER])


def _frame(events: pd.DataFrame) -> pd.DataFrame:
    return EVENTS.conform(events.assign(timestamp=events["timestamp"].dt.tz_localize("UTC")), "prepare")


def _connect(engine: str) -> Any:
    if engine == "duckdb":
        return ibis.duckdb.connect()
    from pyspark.sql import SparkSession

    session = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    return ibis.pyspark.connect(session)


def _compute(backend: Any, name: str, table: Any) -> Any:
    """Compute the table once and store it.

    Spark's tables outlive the run and are overwritten. DuckDB's do not, and Ibis 12 cannot overwrite them: DuckDB 2
    rejects its DROP TABLE IF EXISTS.
    """
    return backend.create_table(name, table, overwrite=backend.name != "duckdb")


def _bots(events: Any, max_events_per_day: int) -> Any:
    """Users with more than max_events_per_day on any UTC day."""
    daily = events.group_by("user_id", day=_.timestamp.truncate("D")).aggregate(count=_.count())
    return daily.filter(_["count"] > max_events_per_day).select("user_id").distinct()


def _inactive(events: Any, min_events_per_user: int) -> Any:
    """Users with fewer than min_events_per_user events."""
    totals = events.group_by("user_id").aggregate(count=_.count())
    return totals.filter(_["count"] < min_events_per_user).select("user_id")


def _without_returns(events: Any) -> Any:
    """Take the pieces of each return from the newest earlier purchases of the same user and item.

    The pieces of a pair are a stack: a purchase puts its pieces on top, and a return takes them from there; a return of
    more is dropped. Of a purchase those pieces are kept that lie below the lowest height that follows.
    """
    is_return = (_.quantity < 0).fill_null(False) | (_.value < 0).fill_null(False)
    pieces = ibis.ifelse((_.quantity != 0).fill_null(False), _.quantity.abs(), 1.0)
    bought = events.filter(_.event == Event.PURCHASE).mutate(returned=is_return, pieces=pieces)
    pair = ["user_id", "item_id"]
    so_far = ibis.window(group_by=pair, order_by=_ORDER, preceding=None, following=0)
    from_here = ibis.window(group_by=pair, order_by=_ORDER, preceding=0, following=None)
    bought = bought.mutate(balance=ibis.ifelse(_.returned, -_.pieces, _.pieces).sum().over(so_far))
    bought = bought.mutate(height=_.balance - ibis.least(_.balance.min().over(so_far), 0.0))
    bought = bought.mutate(kept=1 - (_.height - _.height.min().over(from_here)) / _.pieces)
    sold = bought.filter(~_.returned & (_.kept > _ROUNDING))
    share = ibis.ifelse(_.kept > 1 - _ROUNDING, 1.0, _.kept)
    sold = sold.mutate(quantity=_.quantity * share, value=_.value * share).select(_ORDER)
    return sold.union(events.filter(_.event != Event.PURCHASE).select(_ORDER))


def _with_sessions(events: Any, gap_minutes: float) -> Any:
    """Number the visits of a user where the log has no session; a pause longer than gap_minutes starts a new one."""
    given = events.filter(_.session_id.notnull())
    by_user = ibis.window(group_by="user_id", order_by=_ORDER)
    so_far = ibis.window(group_by="user_id", order_by=_ORDER, preceding=None, following=0)
    seconds = _.timestamp.epoch_seconds()
    other = events.filter(_.session_id.isnull()).mutate(pause=seconds - seconds.lag().over(by_user))
    other = other.mutate(visit=(_.pause > gap_minutes * 60).fill_null(False).cast("int64").sum().over(so_far))
    other = other.mutate(session_id=_.user_id + "-visit-" + _.visit.cast("string"))
    return given.select(_ORDER).union(other.select(_ORDER))


def _report(events_in: int, *tables: Any) -> CleaningReport:
    """The differences between the tables of unique, human, sold and active events."""
    rows, users = zip(*map(_size, tables), strict=True)
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
