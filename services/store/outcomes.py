"""What came of what was shown: who saw which variant or model, what they did with it, and how often, day by day."""

from datetime import datetime

import pandas as pd
from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    literal,
    select,
    type_coerce,
)

from services.store.schema import EVENTS, IMPRESSIONS

_MICROSECONDS_AN_HOUR = 3_600_000_000
_MICROSECONDS_A_DAY = 24 * _MICROSECONDS_AN_HOUR
_MEMBERS = {"sqlite": "json_each", "postgresql": "json_array_elements_text"}
_CLICK = "click"


def read(connection: Connection, experiment: str, goal: str, horizon_hours: float) -> pd.DataFrame:
    """One row a user: see Store.outcomes."""
    taken = and_(
        IMPRESSIONS.c.experiment == experiment,
        IMPRESSIONS.c.user_id.is_not(None),
        IMPRESSIONS.c.variant.is_not(None),
    )
    return _by_user(connection, taken, IMPRESSIONS.c.variant, goal, horizon_hours)


def read_versions(
    connection: Connection, since: datetime, until: datetime | None, goal: str, horizon_hours: float
) -> pd.DataFrame:
    """One row a user: see Store.outcomes_by_version."""
    taken = _known(since) if until is None else and_(_known(since), IMPRESSIONS.c.at < until)
    return _by_user(connection, taken, IMPRESSIONS.c.model_version, goal, horizon_hours)


def read_rates(connection: Connection, since: datetime, goal: str, horizon_hours: float) -> pd.DataFrame:
    """One row a day and model: see Store.rates_by_day."""
    day = (type_coerce(IMPRESSIONS.c.at, BigInteger) // literal(_MICROSECONDS_A_DAY, BigInteger)).label("day")
    keys = (day, IMPRESSIONS.c.model_version)
    shown = select(*keys, func.count().label("impressions")).where(_known(since)).group_by(*keys)
    frame = _frame(connection, shown).set_index(["day", "model_version"])
    done = _frame(connection, _touched(connection, day, since, {_CLICK, goal}, horizon_hours))
    for name, event in (("clicks", _CLICK), ("conversions", goal)):
        found = done[done["event"] == event].set_index(["day", "model_version"])["num_events"]
        frame[name] = found.reindex(frame.index, fill_value=0)
    counts = frame.astype("int64").sort_index().reset_index()
    return counts.assign(day=pd.to_datetime(counts["day"].astype("int64"), unit="D", utc=True))


def _by_user(
    connection: Connection, taken: ColumnElement[bool], label: Column[str], goal: str, horizon_hours: float
) -> pd.DataFrame:
    """Answers and conversions of each user under the label that they saw first among the answers taken."""
    first = _first(taken, label)
    own = and_(IMPRESSIONS.c.user_id == first.c.user_id, label == first.c[label.name], taken)
    converted = and_(
        EVENTS.c.user_id == first.c.user_id,
        EVENTS.c.event == goal,
        _follows(horizon_hours),
        _was_shown(connection.dialect.name),
    )
    query = (
        select(
            first.c.user_id,
            first.c[label.name],
            func.count(IMPRESSIONS.c.id.distinct()).label("impressions"),
            func.count(EVENTS.c.id.distinct()).label("conversions"),
        )
        .select_from(IMPRESSIONS.join(first, own).outerjoin(EVENTS, converted))
        .group_by(first.c.user_id, first.c[label.name])
        .order_by(first.c.user_id)
    )
    return _frame(connection, query).astype({"impressions": "int64", "conversions": "int64"})


def _touched(
    connection: Connection, day: ColumnElement[int], since: datetime, events: set[str], horizon_hours: float
) -> Select[tuple[int, str, str, int]]:
    """Events counted once, for the newest answer that showed their item: day, model_version, event, num_events."""
    order = (IMPRESSIONS.c.at.desc(), IMPRESSIONS.c.id.desc())
    nth = func.row_number().over(partition_by=EVENTS.c.id, order_by=order).label("nth")
    follows = and_(
        EVENTS.c.user_id == IMPRESSIONS.c.user_id,
        EVENTS.c.event.in_(sorted(events)),
        _follows(horizon_hours),
        _was_shown(connection.dialect.name),
    )
    ranked = (
        select(day, IMPRESSIONS.c.model_version, EVENTS.c.event, nth)
        .select_from(IMPRESSIONS.join(EVENTS, follows))
        .where(_known(since))
        .subquery()
    )
    keys = (ranked.c.day, ranked.c.model_version, ranked.c.event)
    return select(*keys, func.count().label("num_events")).where(ranked.c.nth == 1).group_by(*keys)


def _known(since: datetime) -> ColumnElement[bool]:
    """Answers to users with an id, from a moment on: what visitors without one do cannot be told."""
    return and_(IMPRESSIONS.c.user_id.is_not(None), IMPRESSIONS.c.at >= since)


def _first(taken: ColumnElement[bool], label: Column[str]) -> CTE:
    """The label that each user saw first: user_id, label."""
    order = (IMPRESSIONS.c.at, IMPRESSIONS.c.id)
    nth = func.row_number().over(partition_by=IMPRESSIONS.c.user_id, order_by=order).label("nth")
    ranked = select(IMPRESSIONS.c.user_id, label, nth).where(taken).subquery()
    return select(ranked.c.user_id, ranked.c[label.name]).where(ranked.c.nth == 1).cte("first")


def _follows(horizon_hours: float) -> ColumnElement[bool]:
    """The event is not before the answer, and at most the horizon after it."""
    at, done = (type_coerce(column, BigInteger) for column in (IMPRESSIONS.c.at, EVENTS.c.timestamp))
    return done.between(at, at + round(horizon_hours * _MICROSECONDS_AN_HOUR))


def _was_shown(dialect: str) -> ColumnElement[bool]:
    """The event's item is one of the answer's."""
    members = getattr(func, _MEMBERS[dialect])(IMPRESSIONS.c["items"]).table_valued("value")
    return select(members.c.value).where(members.c.value == EVENTS.c.item_id).exists()


def _frame(connection: Connection, query: Select[tuple[object, ...]]) -> pd.DataFrame:
    rows = connection.execute(query)
    return pd.DataFrame([tuple(row) for row in rows], columns=list(rows.keys()))
