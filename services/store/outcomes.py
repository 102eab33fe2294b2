"""What came of an experiment: who saw which variant, and what they did with what they were shown."""

import pandas as pd
from sqlalchemy import CTE, BigInteger, ColumnElement, Connection, and_, func, select, type_coerce

from services.store.schema import EVENTS, IMPRESSIONS

_MICROSECONDS_AN_HOUR = 3_600_000_000
_MEMBERS = {"sqlite": "json_each", "postgresql": "json_array_elements_text"}


def read(connection: Connection, experiment: str, goal: str, horizon_hours: float) -> pd.DataFrame:
    """One row a user: see Store.outcomes."""
    taken = and_(
        IMPRESSIONS.c.experiment == experiment,
        IMPRESSIONS.c.user_id.is_not(None),
        IMPRESSIONS.c.variant.is_not(None),
    )
    first = _first(taken)
    own = and_(IMPRESSIONS.c.user_id == first.c.user_id, IMPRESSIONS.c.variant == first.c.variant, taken)
    converted = and_(
        EVENTS.c.user_id == first.c.user_id,
        EVENTS.c.event == goal,
        _follows(horizon_hours),
        _was_shown(connection.dialect.name),
    )
    query = (
        select(
            first.c.user_id,
            first.c.variant,
            func.count(IMPRESSIONS.c.id.distinct()).label("impressions"),
            func.count(EVENTS.c.id.distinct()).label("conversions"),
        )
        .select_from(IMPRESSIONS.join(first, own).outerjoin(EVENTS, converted))
        .group_by(first.c.user_id, first.c.variant)
        .order_by(first.c.user_id)
    )
    rows = connection.execute(query)
    frame = pd.DataFrame([tuple(row) for row in rows], columns=list(rows.keys()))
    return frame.astype({"impressions": "int64", "conversions": "int64"})


def _first(taken: ColumnElement[bool]) -> CTE:
    """The variant that each user saw first: user_id, variant."""
    order = (IMPRESSIONS.c.at, IMPRESSIONS.c.id)
    nth = func.row_number().over(partition_by=IMPRESSIONS.c.user_id, order_by=order).label("nth")
    ranked = select(IMPRESSIONS.c.user_id, IMPRESSIONS.c.variant, nth).where(taken).subquery()
    return select(ranked.c.user_id, ranked.c.variant).where(ranked.c.nth == 1).cte("first")


def _follows(horizon_hours: float) -> ColumnElement[bool]:
    """The event is not before the answer, and at most the horizon after it."""
    at, done = (type_coerce(column, BigInteger) for column in (IMPRESSIONS.c.at, EVENTS.c.timestamp))
    return done.between(at, at + round(horizon_hours * _MICROSECONDS_AN_HOUR))


def _was_shown(dialect: str) -> ColumnElement[bool]:
    """The event's item is one of the answer's."""
    members = getattr(func, _MEMBERS[dialect])(IMPRESSIONS.c["items"]).table_valued("value")
    return select(members.c.value).where(members.c.value == EVENTS.c.item_id).exists()
