"""Erasures in a SQLite store: no byte of the id stays, once readers have ended, and writers go on meanwhile."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event as listeners

from services.store import Impression, NewEvent, PostedUser, Store, StoreError
from services.store.upkeep import ErasureCompletion
from tests.integration.services.store.test_store import NOW
from tests.support.open_shops import Opener, event, until

pytest_plugins = ["tests.support.open_shops"]

READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin")
print(connection.execute("select count(*) from events where user_id = ?", (sys.argv[2],)).fetchone()[0], flush=True)
sys.stdin.readline()
print(connection.execute("select count(*) from events where user_id = ?", (sys.argv[2],)).fetchone()[0], flush=True)
connection.execute("commit")
sys.stdin.readline()
"""
CHECKPOINTER = """
import fcntl, sys
with open(sys.argv[1], "r+b") as shared_memory:
    fcntl.lockf(shared_memory, fcntl.LOCK_EX, 1, 121)  # the byte that SQLite's checkpoints lock
    print(flush=True)
    sys.stdin.readline()
"""
SMALL_DISK = """
import resource, signal, sys, threading
from pathlib import Path
from sqlalchemy import event
from services.store import NewEvent, Store
from services.store.upkeep import ErasureCompletion

path = Path(sys.argv[1])
store = Store.open(f"sqlite:///{path}")
users = [f"user-{row}" for row in range(2_000)]
store.add_events([NewEvent(key=user, user_id=user, item_id="i", event="view") for user in users])
store.erase_user("nobody", "hash")
assert store.purge_erased(5.0)
store.erase_user("user-1", "hash of another")
assert store.database.truncate_log(5.0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, resource.RLIM_INFINITY))  # the log needs a little more
vacuums = []
event.listen(store.database.engine, "before_cursor_execute", lambda *given: given[2] == "vacuum" and vacuums.append(1))
completion = ErasureCompletion(store, 0.01)
while not vacuums:
    threading.Event().wait(0.01)
threading.Event().wait(0.5)
completion.close()
print(len(vacuums), path.with_name(f"{path.name}-wal").stat().st_size)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(store.purge_erased(5.0))
"""
NUM_EVENTS = 300


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "feedback.db"


@pytest.fixture
def user() -> str:
    return f"person-{secrets.token_hex(12)}"


def fill(store: Store, user: str) -> None:
    """Rows of the user among those of others, with large ones that fill pages."""
    for batch in range(3):
        names = [user if row % 3 == 0 else f"other-{row}" for row in range(NUM_EVENTS)]
        store.add_events(
            [
                NewEvent(
                    key=f"{batch}-{row} {name}", user_id=name, item_id="i" * (row % 90 + 1), event="view", timestamp=NOW
                )
                for row, name in enumerate(names)
            ]
        )
    store.put_users([PostedUser(user, {"name": user * 3}), PostedUser("other", {"name": "x" * 5_000})])
    shown = {"surface": "products", "items": ("a",), "path": "blend", "model_version": "m", "at": NOW}
    store.add_impressions([Impression(request_id=f"r{row}", user_id=user, **shown) for row in range(50)])


def count_vacuums(*stores: Store) -> list[str]:
    """A list that grows by each vacuum of the stores."""
    vacuums: list[str] = []

    def listen(_: object, __: object, statement: str, *___: object) -> None:
        if statement == "vacuum":
            vacuums.append(statement)

    for store in stores:
        listeners.listen(store.database.engine, "before_cursor_execute", listen)
    return vacuums


def one_event(key: str, user: str) -> NewEvent:
    return NewEvent(key=key, user_id=user, item_id="i", event="view", timestamp=NOW)


@contextlib.contextmanager
def reading(path: Path, user: str) -> Iterator[subprocess.Popen[str]]:
    """Another process with an open read transaction, which has seen the user."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", READER, str(path), user], **pipes) as process:
        try:
            assert int(process.stdout.readline()) > 0
            yield process
        finally:
            process.kill()


def end_transaction(reader: subprocess.Popen[str]) -> int:
    """What the reader still sees of the user at the end of its transaction; its connection stays open."""
    reader.stdin.write("\n")
    reader.stdin.flush()
    return int(reader.stdout.readline())


def holding(path: Path, user: str) -> list[str]:
    """The files with a part of the id. Another process reads them: to close one here would end SQLite's locks on it."""
    parts = [user[start : start + 12] for start in range(len(user) - 11)]
    files = sorted(path.parent.glob(f"{path.name}*"))
    arguments = [part for text in parts for part in ("-e", text)]
    found = subprocess.run(["grep", "-alF", *arguments, *map(str, files)], capture_output=True, text=True)
    return [Path(line).name for line in found.stdout.splitlines()]


def test_an_erasure_is_complete_when_the_reader_has_ended(path: Path, user: str) -> None:
    with contextlib.closing(Store.open(f"sqlite:///{path}")) as store:
        fill(store, user)
        with reading(path, user) as reader:
            erased = store.erase_user(user, "hash")
            assert (erased.events, erased.impressions, erased.users, erased.complete) == (NUM_EVENTS, 50, 1, False)
            assert store.events_of(user, 10) == []
            assert holding(path, user), "for the reader"
            assert not store.purge_erased(0.0)
            store.add_events([one_event("later", "other")])
            assert end_transaction(reader) == NUM_EVENTS
            assert store.purge_erased(5.0)
            assert holding(path, user) == []
            assert store.purge_erased(0.0)
        assert store.erase_user(user, "hash").complete
        assert len(store.events_of("other", 10)) == 1


def test_what_a_reader_held_is_removed_after_a_restart(path: Path, user: str) -> None:
    url = f"sqlite:///{path}"
    store = Store.open(url)
    fill(store, user)
    with reading(path, user) as reader:
        assert not store.erase_user(user, "hash").complete
        store.close()
        with contextlib.closing(Store.open(url)) as again, contextlib.closing(ErasureCompletion(again, 0.05)):
            assert not again.purge_erased(0.0)
            assert holding(path, user)
            end_transaction(reader)
            until(lambda: again.purge_erased(0.0))
            assert holding(path, user) == []


def test_the_service_completes_an_erasure_by_itself_and_says_so(start: Opener, user: str) -> None:
    start.keyed = True
    one, other = start(), start()
    path = one.shop.folder / "feedback.db"
    one.post_events(*(event(number, user, "i15") for number in range(200)))
    one.post_users({"user_id": user, "attributes": {"name": user}})
    with reading(path, user) as reader:
        erased = other.send("DELETE", f"/users/{user}")
        assert (erased.status_code, erased.json()["events"], erased.json()["complete"]) == (202, 200, False)
        assert one.recommend(user_id=user)["known_user"] is False
        assert one.send("DELETE", f"/users/{user}").status_code == 202, "it is not complete yet"
        assert holding(path, user)
        one.post_events(event(1, "u59", "i15"))
        assert end_transaction(reader) == 200
        until(lambda: other.send("DELETE", f"/users/{user}").status_code == 200)
        assert holding(path, user) == []
        assert other.told("DELETE", f"/users/{user}") == {"events": 0, "impressions": 0, "users": 0}
    assert len(one.shop.store.events_of("u59", 10)) == 1


def test_under_a_reader_no_erasure_of_any_worker_rewrites_the_file(path: Path, user: str) -> None:
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(contextlib.closing(Store.open(f"sqlite:///{path}"))) for _ in range(3)]
        fill(stores[0], user)
        assert stores[0].database.truncate_log(5.0)
        vacuums = count_vacuums(*stores)
        log, users = path.with_name(f"{path.name}-wal"), [user, *(f"other-{row}" for row in range(1, 12))]
        with reading(path, user) as reader:
            for store in stores:
                stack.enter_context(contextlib.closing(ErasureCompletion(store, 0.01)))
            for number, erased in enumerate(users):
                assert not stores[number % 3].erase_user(erased, f"hash {number}").complete
            size = log.stat().st_size
            assert [store.purge_erased(0.0) for store in stores] == [False] * 3
            assert (vacuums, log.stat().st_size) == ([], size)
            end_transaction(reader)
            until(lambda: stores[0].erase_user(users[-1], f"hash {len(users) - 1}").complete)
            assert stores[2].erase_user(user, "hash 0").complete
        assert len(vacuums) == 1
        assert holding(path, user) == []
        assert log.stat().st_size < path.stat().st_size / 4


def test_events_are_stored_while_users_are_erased(path: Path, user: str) -> None:
    url, is_done, num_posted = f"sqlite:///{path}", threading.Event(), 0
    with contextlib.closing(Store.open(url)) as store, contextlib.closing(Store.open(url)) as other:
        fill(store, user)

        def erase_all() -> None:
            with contextlib.closing(ErasureCompletion(other, 0.01)):
                for row in range(1, 6):
                    other.erase_user(f"other-{row}", f"hash of {row}")
                    until(lambda row=row: other.erase_user(f"other-{row}", f"hash of {row}").complete)
            is_done.set()

        with ThreadPoolExecutor(1) as pool:
            erasures = pool.submit(erase_all)
            while not (is_done.is_set() or erasures.done()):
                assert store.add_events([one_event(f"posted {num_posted}", "poster")]).accepted == 1
                num_posted += 1
                is_done.wait(0.005)
            erasures.result()
        assert len(store.events_of("poster", 1_000_000)) == num_posted > 0


def test_a_vacuum_that_fails_leaves_no_log_and_is_not_repeated_at_once(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SMALL_DISK, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "0", "True"]
    assert done.stderr.count("erasures stay incomplete") == 1


def test_without_free_space_nothing_is_rewritten(path: Path, user: str) -> None:
    with contextlib.closing(Store.open(f"sqlite:///{path}")) as store:
        fill(store, user)
        store.erase_user(user, "hash")
        assert store.database.truncate_log(5.0)
        vacuums, size = count_vacuums(store), path.stat().st_size
        os.truncate(path, shutil.disk_usage(path).free)  # a sparse file, whose end SQLite ignores
        with pytest.raises(StoreError, match=r"MB of the disk are free, and a vacuum, .*; free some space"):
            store.purge_erased(5.0)
        assert vacuums == []
        os.truncate(path, size)
        assert store.purge_erased(5.0)


def test_a_restored_file_is_purged_anew(path: Path, user: str) -> None:
    backup = path.with_name("backup")
    with contextlib.closing(Store.open(f"sqlite:///{path}")) as store:
        fill(store, user)
        assert store.database.truncate_log(5.0)
        shutil.copy(path, backup)
        vacuums = count_vacuums(store)
        for number in (1, 2):
            assert not store.erase_user(user, "hash").complete
            assert store.purge_erased(5.0)
            assert (len(vacuums), holding(path, user)) == (number, [])
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()
            shutil.copy(backup, path)


def test_to_erase_nothing_again_is_no_new_erasure(path: Path, user: str) -> None:
    with contextlib.closing(Store.open(f"sqlite:///{path}")) as store:
        store.add_events([one_event("first", user)])
        for _ in range(3):
            store.erase_user(user, "hash")
        store.erase_user("nobody", "hash of nobody")
        shown = Impression(
            request_id="r",
            user_id=user,
            surface="rank",
            items=(),
            path="blend",
            model_version="m",
            at=datetime.now(UTC),
        )
        store.erase_user(user, "hash")
        assert store.add_impressions([shown], lambda _: "hash") == 0, "it waited to be written"
        assert [erasure.user_hash for erasure in store.erasures_after(0)] == ["hash", "hash of nobody"]
        store.add_events([one_event("second", user)])
        assert store.erase_user(user, "hash").events == 1
        assert [erasure.user_hash for erasure in store.erasures_after(2)] == ["hash"]


def test_another_checkpoint_is_waited_for(path: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with contextlib.closing(Store.open(f"sqlite:///{path}")) as store, ThreadPoolExecutor(1) as pool:
        store.add_events([one_event("first", "user")])
        command = [sys.executable, "-c", CHECKPOINTER, f"{path}-shm"]
        with subprocess.Popen(command, **pipes) as checkpointer:
            checkpointer.stdout.readline()
            assert not store.database.truncate_log(0.0)
            is_empty = pool.submit(store.database.truncate_log, 30.0)
            with pytest.raises(TimeoutError):
                is_empty.result(0.2)
            checkpointer.stdin.close()
            assert is_empty.result()
