"""An erasure while another process reads the SQLite store: no byte of the id stays once that reader has ended."""

import contextlib
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.store import Impression, NewEvent, PostedUser, Store
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
            store.add_events([NewEvent(key="later", user_id="other", item_id="i", event="view", timestamp=NOW)])
            assert end_transaction(reader) == NUM_EVENTS
            assert store.purge_erased(0.0)
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
        until(lambda: holding(path, user) == [])
        assert other.told("DELETE", f"/users/{user}") == {"events": 0, "impressions": 0, "users": 0}
    assert len(one.shop.store.events_of("u59", 10)) == 1
