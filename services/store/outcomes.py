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
_PAGE = 500


def read(connection: Connection, experiment: str, goal: str, horizon_hours: float) -> pd.DataFrame:
    """One row a user: see Store.outcomes."""
    wanted = and_(
        IMPRESSIONS.c.experiment == experiment,
        IMPRESSIONS.c.user_id.is_not(None),
        IMPRESSIONS.c.variant.is_not(None),
    )
    return _by_user(connection, wanted, IMPRESSIONS.c.variant, goal, horizon_hours)


def read_versions(
    connection: Connection, since: datetime, until: datetime | None, goal: str, horizon_hours: float
) -> pd.DataFrame:
    """One row a user: see Store.outcomes_by_version."""
    wanted = _known(since) if until is None else and_(_known(since), IMPRESSIONS.c.at < until)
    return _by_user(connection, wanted, IMPRESSIONS.c.model_version, goal, horizon_hours)


def read_experiments(connection: Connection, since: datetime) -> pd.DataFrame:
    """One row a user and experiment: see Store.experiments_by_user."""
    columns = (IMPRESSIONS.c.user_id, IMPRESSIONS.c.experiment)
    taken = and_(_known(since), IMPRESSIONS.c.experiment.is_not(None))
    return _frame(connection, select(*columns).where(taken).distinct().order_by(*columns))


def read_lists(
    connection: Connection, model_version: str, surface: str, since: datetime, until: datetime, num_users: int
) -> pd.DataFrame:
    """One row a user: see Store.first_lists."""
    wanted = and_(
        _known(since),
        IMPRESSIONS.c.at < until,
        IMPRESSIONS.c.model_version == model_version,
        IMPRESSIONS.c.surface == surface,
    )
    first = _first(_taken(wanted, IMPRESSIONS.c.model_version), "id")
    found = _frame(connection, select(first.c.user_id, first.c.id))
    # by a hash of the id and not the first who came, so that two windows share their users
    place = pd.util.hash_array(found["user_id"].to_numpy(dtype=object))
    ids = [int(one) for one in found["id"].iloc[place.argsort(kind="stable")[:num_users]]]
    columns = (IMPRESSIONS.c.user_id, IMPRESSIONS.c.at, IMPRESSIONS.c["items"])
    parts = [
        _frame(connection, select(*columns).where(IMPRESSIONS.c.id.in_(ids[start : start + _PAGE])))
        for start in range(0, max(len(ids), 1), _PAGE)
    ]
    return pd.concat(parts).sort_values("user_id", ignore_index=True)


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
    connection: Connection, wanted: ColumnElement[bool], label: Column[str], goal: str, horizon_hours: float
) -> pd.DataFrame:
    """Answers and conversions of each user under the label that they saw first among the answers wanted."""
    taken = _taken(wanted, label)
    first = _first(taken, label.name)
    own = and_(taken.c.user_id == first.c.user_id, taken.c[label.name] == first.c[label.name])
    converted = and_(
        EVENTS.c.user_id == first.c.user_id,
        EVENTS.c.event == goal,
        _follows(horizon_hours),
        _was_shown(connection.dialect.name),
    )
    answers = taken.join(first, own).join(IMPRESSIONS, IMPRESSIONS.c.id == taken.c.id)
    query = (
        select(
            first.c.user_id,
            first.c[label.name],
            func.count(IMPRESSIONS.c.id.distinct()).label("impressions"),
            func.count(EVENTS.c.id.distinct()).label("conversions"),
        )
        .select_from(answers.outerjoin(EVENTS, converted))
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


def _taken(wanted: ColumnElement[bool], label: Column[str]) -> CTE:
    """The answers that count: id, user_id, at, label.

    Looked up once, by moment or experiment: to find each user's first, SQLite would else walk all answers ever given.
    """
    columns = (IMPRESSIONS.c.id, IMPRESSIONS.c.user_id, IMPRESSIONS.c.at, label)
    return select(*columns).where(wanted).cte("taken").prefix_with("materialized")


def _first(taken: CTE, label: str) -> CTE:
    """What each user saw first: user_id and the label, or another column of taken."""
    order = (taken.c.at, taken.c.id)
    nth = func.row_number().over(partition_by=taken.c.user_id, order_by=order).label("nth")
    ranked = select(taken.c.user_id, taken.c[label], nth).subquery()
    return select(ranked.c.user_id, ranked.c[label]).where(ranked.c.nth == 1).cte("first")


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
