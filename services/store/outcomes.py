"""Outcomes of impressions by variant or model: who saw them and who converted."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from sqlalchemy import CTE, BigInteger, Column, ColumnElement, Select, and_, func, select, type_coerce

from services.store.database import Database
from services.store.schema import EVENTS, IMPRESSIONS

_MICROSECONDS_PER_HOUR = 3_600_000_000
_JSON_ELEMENTS = {"sqlite": "json_each", "postgresql": "json_array_elements_text"}
_IDS_PER_QUERY = 500


@dataclass(frozen=True)
class OutcomeQueries:
    """The queries of a store that evaluate experiments and releases. They raise StoreError."""

    database: Database

    def outcomes(self, experiment: str, goal: str = "purchase", horizon_hours: float = 72.0) -> pd.DataFrame:
        """Return an experiment's outcomes: user_id, variant, impressions, conversions; one row per user, by user_id.

        A user counts for the variant that they saw first, with the impressions and conversions of that variant.
        A conversion is a goal event on an item that was shown at most horizon_hours before; it counts once.
        """
        columns = IMPRESSIONS.c
        condition = and_(columns.experiment == experiment, columns.user_id.is_not(None), columns.variant.is_not(None))
        return self._by_user(condition, columns.variant, goal, horizon_hours)

    def outcomes_by_version(
        self, since: datetime, goal: str = "purchase", horizon_hours: float = 72.0, until: datetime | None = None
    ) -> pd.DataFrame:
        """Return the outcomes of each model: user_id, model_version, impressions, conversions, as outcomes does.

        A user counts for the version that they saw first in [since, until), with the impressions and conversions of
        that version in the same period. Anonymous visitors are left out.
        """
        condition = _identified(since) if until is None else and_(_identified(since), IMPRESSIONS.c.at < until)
        return self._by_user(condition, IMPRESSIONS.c.model_version, goal, horizon_hours)

    def experiments_by_user(self, since: datetime) -> pd.DataFrame:
        """Return the experiments that users took part in since a time: user_id, experiment; by user_id."""
        columns = (IMPRESSIONS.c.user_id, IMPRESSIONS.c.experiment)
        assigned = and_(_identified(since), IMPRESSIONS.c.experiment.is_not(None))
        return self._frame(select(*columns).where(assigned).distinct().order_by(*columns))

    def first_lists(
        self, model_version: str, surface: str, since: datetime, until: datetime, num_users: int
    ) -> pd.DataFrame:
        """Return each user's first list of a model on a surface in [since, until): user_id, at, items (best first).

        At most num_users are sampled by a hash of their ids. Anonymous visitors are left out.
        """
        columns = IMPRESSIONS.c
        of_model = and_(columns.model_version == model_version, columns.surface == surface, columns.at < until)
        first = _first_by_user(_select_answers(and_(_identified(since), of_model), columns.model_version), "id")
        lists = self._frame(select(first.c.user_id, first.c.id))
        # Sampled by a hash of the id, not by time, so that two windows have the same users.
        hashes = pd.util.hash_array(lists["user_id"].to_numpy(dtype=object))
        ids = [int(list_id) for list_id in lists["id"].iloc[hashes.argsort(kind="stable")[:num_users]]]
        query = select(columns.user_id, columns.at, columns["items"])
        parts = [
            self._frame(query.where(columns.id.in_(ids[start : start + _IDS_PER_QUERY])))
            for start in range(0, max(len(ids), 1), _IDS_PER_QUERY)
        ]
        return pd.concat(parts).sort_values("user_id", ignore_index=True)

    def _by_user(
        self, condition: ColumnElement[bool], label: Column[str], goal: str, horizon_hours: float
    ) -> pd.DataFrame:
        """Count each user's answers and conversions under the label that they saw first among these answers."""
        answers = _select_answers(condition, label)
        first = _first_by_user(answers, label.name)
        of_first = and_(answers.c.user_id == first.c.user_id, answers.c[label.name] == first.c[label.name])
        converted = and_(
            EVENTS.c.user_id == first.c.user_id,
            EVENTS.c.event == goal,
            _within_horizon(horizon_hours),
            _was_shown(self.database.engine.dialect.name),
        )
        counted = answers.join(first, of_first).join(IMPRESSIONS, IMPRESSIONS.c.id == answers.c.id)
        query = (
            select(
                first.c.user_id,
                first.c[label.name],
                func.count(IMPRESSIONS.c.id.distinct()).label("impressions"),
                func.count(EVENTS.c.id.distinct()).label("conversions"),
            )
            .select_from(counted.outerjoin(EVENTS, converted))
            .group_by(first.c.user_id, first.c[label.name])
            .order_by(first.c.user_id)
        )
        return self._frame(query).astype({"impressions": "int64", "conversions": "int64"})

    def _frame(self, query: Select[tuple[object, ...]]) -> pd.DataFrame:
        with self.database.reading(patient=True) as connection:
            rows = connection.execute(query)
            return pd.DataFrame([tuple(row) for row in rows], columns=list(rows.keys()))


def _identified(since: datetime) -> ColumnElement[bool]:
    """Answers since a time to users with an id; later events of anonymous visitors are unknown."""
    return and_(IMPRESSIONS.c.user_id.is_not(None), IMPRESSIONS.c.at >= since)


def _select_answers(condition: ColumnElement[bool], label: Column[str]) -> CTE:
    """Select the answers that meet the condition: id, user_id, at, label.

    Materialized, so that an index on time or experiment is used: to find each user's first answer, SQLite would
    otherwise scan the table.
    """
    columns = (IMPRESSIONS.c.id, IMPRESSIONS.c.user_id, IMPRESSIONS.c.at, label)
    return select(*columns).where(condition).cte("answers").prefix_with("materialized")


def _first_by_user(answers: CTE, column: str) -> CTE:
    """Select user_id and a column of each user's first answer."""
    order = (answers.c.at, answers.c.id)
    nth = func.row_number().over(partition_by=answers.c.user_id, order_by=order).label("nth")
    ranked = select(answers.c.user_id, answers.c[column], nth).subquery()
    return select(ranked.c.user_id, ranked.c[column]).where(ranked.c.nth == 1).cte("first")


def _within_horizon(horizon_hours: float) -> ColumnElement[bool]:
    """The event is not before the answer, and at most the horizon after it."""
    shown_at, converted_at = (type_coerce(column, BigInteger) for column in (IMPRESSIONS.c.at, EVENTS.c.timestamp))
    return converted_at.between(shown_at, shown_at + round(horizon_hours * _MICROSECONDS_PER_HOUR))


def _was_shown(dialect: str) -> ColumnElement[bool]:
    """The event's item is one of the answer's."""
    elements = getattr(func, _JSON_ELEMENTS[dialect])(IMPRESSIONS.c["items"]).table_valued("value")
    return select(elements.c.value).where(elements.c.value == EVENTS.c.item_id).exists()
