"""How both databases look answers up: what came of the newest days never walks through all that was ever shown."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, inspect

from services.store import Impression, Store

pytest_plugins = ["tests.support.stores"]

START = datetime(2026, 1, 1, tzinfo=UTC)
ANSWERS, NEWEST = 4_000, 40  # one a minute, and the last of them
SINCE = START + timedelta(minutes=ANSWERS - NEWEST)


def fill(store: Store) -> None:
    store.add_impressions(
        [
            Impression(
                request_id=str(minute),
                user_id=f"u{minute % 97}",
                surface="products",
                items=("a", "b"),
                path="blend",
                model_version="v1",
                at=START + timedelta(minutes=minute),
            )
            for minute in range(ANSWERS)
        ]
    )


@contextlib.contextmanager
def heard(store: Store) -> Iterator[list[tuple[str, Any]]]:
    """The statements, with their parameters, that are executed inside."""
    said: list[tuple[str, Any]] = []

    def listen(_: Connection, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        said.append((statement, parameters))

    event.listen(store.database.engine, "before_cursor_execute", listen)
    try:
        yield said
    finally:
        event.remove(store.database.engine, "before_cursor_execute", listen)


def plan(store: Store, statement: str, parameters: Any) -> list[str]:
    """The lines of the database's own plan."""
    asked = "explain query plan" if store.database.path else "explain"
    with store.database.reading() as connection:
        rows = connection.exec_driver_sql(f"{asked} {statement}", parameters).all()
    return [str(row[-1]).strip() for row in rows]


def walks_through_all(lines: list[str]) -> bool:
    """Whether all answers ever given are looked at, in their own order or the users'."""
    return any(
        walk in line for line in lines for walk in ("SCAN impressions", "Seq Scan on impressions", "impressions_user")
    )


def analyze(store: Store) -> None:
    """What PostgreSQL's autovacuum does by itself; SQLite has to do without."""
    if store.database.path is None:
        with store.database.reading() as connection:
            connection.exec_driver_sql("analyze")


@pytest.mark.parametrize("question", ["outcomes_by_version", "versions_until"])
def test_answers_are_found_by_their_moment(store: Store, question: str) -> None:
    fill(store)
    analyze(store)
    with heard(store) as said:
        if question == "versions_until":
            found = store.outcomes_by_version(SINCE, until=SINCE + timedelta(minutes=NEWEST // 2))
        else:
            found = getattr(store, question)(SINCE)
    assert found["impressions"].sum() == (NEWEST // 2 if question == "versions_until" else NEWEST)
    assert said
    for statement, parameters in said:
        lines = plan(store, statement, parameters)
        assert any("impressions_at" in line for line in lines), "\n".join(lines)
        assert not walks_through_all(lines), "\n".join(lines)


def test_without_the_index_the_same_test_would_notice(store: Store) -> None:
    fill(store)
    analyze(store)
    with store.database.writing() as connection:
        connection.exec_driver_sql("drop index impressions_at")
    with heard(store) as said:
        store.outcomes_by_version(SINCE)
    lines = plan(store, *said[0])
    assert walks_through_all(lines)


def test_a_store_of_the_release_before_gets_the_index_and_keeps_its_answers(store: Store, store_url: str) -> None:
    fill(store)
    with store.database.writing() as connection:
        connection.exec_driver_sql("drop index impressions_at")
        connection.exec_driver_sql("update alembic_version set version_num = '0001'")
    with contextlib.closing(Store.open(store_url)) as again, again.database.reading() as connection:
        names = {one["name"] for one in inspect(connection).get_indexes("impressions")}
        assert {"impressions_at", "impressions_user", "impressions_experiment"} <= names
        assert connection.exec_driver_sql("select version_num from alembic_version").scalar() == "0002"
        assert again.outcomes_by_version(START)["impressions"].sum() == ANSWERS
