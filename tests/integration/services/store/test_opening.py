"""A store is opened, migrated, shared and lost: what its workers and its operators see."""

import contextlib
import multiprocessing
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from services.store import Acknowledged, NewEvent, Store, StoreError
from services.store.schema import METADATA
from tests.support.postgres import new_schema, running
from tierrec_core.base.errors import SettingsError

pytest_plugins = ["tests.support.stores"]

FORK = multiprocessing.get_context("fork")


def event(key: str, user_id: str = "u") -> NewEvent:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return NewEvent(key=key, user_id=user_id, item_id="i", event="view", timestamp=moment)


def test_a_commit_waits_for_the_disk_even_where_the_database_would_not(tmp_path: Path, postgres: str) -> None:
    hasty = f"{new_schema(postgres)}%20-csynchronous_commit%3Doff"
    for url, question, answer in (
        (f"sqlite:///{tmp_path / 'feedback.db'}", "pragma synchronous", 2),
        (hasty, "show synchronous_commit", "on"),
    ):
        with contextlib.closing(Store.open(url)) as store, store.database.writing() as connection:
            assert connection.exec_driver_sql(question).scalar() == answer
    with psycopg.connect(hasty) as connection:
        assert connection.execute("show synchronous_commit").fetchone() == ("off",)


def test_a_deleted_file_takes_no_event_and_a_restored_one_does(tmp_path: Path) -> None:
    path, copy = tmp_path / "feedback.db", tmp_path / "copy.db"
    with contextlib.closing(Store.open(f"sqlite:///{path}")) as store:
        store.add_events([event("a")])
        with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        for file in tmp_path.glob("feedback.db*"):
            file.unlink()
        with pytest.raises(StoreError, match=r"feedback\.db: is gone"):
            store.add_events([event("b")])
        copy.rename(path)
        assert store.add_events([event("a"), event("b")]) == Acknowledged(accepted=1, duplicates=1)


def test_only_the_owner_reads_the_files(tmp_path: Path) -> None:
    with contextlib.closing(Store.open(f"sqlite:///{tmp_path / 'feedback.db'}")) as store:
        store.add_events([event("a")])
        files = [file for file in tmp_path.iterdir() if file.suffix != ".lock"]  # which is empty
        assert len(files) > 2
        assert {file.stat().st_mode & 0o077 for file in files} == {0}


def test_migrations_make_the_tables_of_the_schema(store: Store) -> None:
    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        assert set(inspect(connection).get_table_names()) == {*METADATA.tables, "alembic_version"}
        connection.exec_driver_sql("alter table items drop column attributes")
        assert compare_metadata(MigrationContext.configure(connection), METADATA)


def open_and_add(url: str, name: str) -> None:
    with contextlib.closing(Store.open(url)) as store:
        store.add_events([event(name)])


def test_workers_may_open_a_new_store_at_once(store_url: str) -> None:
    workers = [FORK.Process(target=open_and_add, args=(store_url, f"k{number}")) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with contextlib.closing(Store.open(store_url)) as store:
        assert sorted(one.key for one in store.events_after(0, 10)) == ["k0", "k1", "k2", "k3"]


def test_a_store_is_opened_again_with_all_it_held(store_url: str) -> None:
    for number in range(3):
        open_and_add(store_url, f"k{number}")
    with contextlib.closing(Store.open(store_url)) as store:
        assert [one.key for one in store.events_after(0, 10)] == ["k0", "k1", "k2"]


def test_tables_of_a_newer_release_are_refused(store: Store, store_url: str) -> None:
    with store.database.writing() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    with pytest.raises(StoreError, match=r"another release .*9999.*; start the release that migrated them"):
        Store.open(store_url)


def test_a_broken_store_is_told_without_what_was_sent(store: Store) -> None:
    assert store.is_healthy()
    with store.database.writing() as connection:
        connection.exec_driver_sql("drop table events")
    assert not store.is_healthy()
    with pytest.raises(StoreError, match=r"events.*; check that the database is running") as caught:
        store.add_events([event("secret-key", "secret-user")])
    assert "secret" not in str(caught.value)


def test_a_server_that_dropped_us_is_asked_again(postgres: str) -> None:
    with contextlib.closing(Store.open(new_schema(postgres))) as store:
        store.add_events([event("a")])
        with psycopg.connect(postgres, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
        assert store.is_healthy()
        assert store.add_events([event("a"), event("b")]) == Acknowledged(1, 1)


def test_a_server_that_is_gone_makes_the_store_unhealthy() -> None:
    with running() as server:
        store = Store.open(server)
        store.add_events([event("a")])
    assert not store.is_healthy()
    with pytest.raises(StoreError, match="check that the database is running"):
        store.add_events([event("b")])


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://u:pass@h/d", "feedback.db", ""])
def test_other_urls_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(SettingsError, match="wanted sqlite:///PATH or postgresql://USER@HOST/NAME") as caught:
        Store.open(url)
    assert "pass" not in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "feedback.db").write_text("not a database at all, but long enough to be looked at" * 20)
    with pytest.raises(StoreError, match=r"feedback\.db: file is not a database"):
        Store.open(f"sqlite:///{tmp_path / 'feedback.db'}")


def test_postgresql_without_its_driver_says_what_to_install() -> None:
    program = """
import sys
sys.modules["psycopg"] = None
from services.store import Store
Store.open("postgresql://u@h/d")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "SettingsError: store: psycopg is not installed" in ended.stderr
    assert "pip install 'tierrec[postgres]'" in ended.stderr
