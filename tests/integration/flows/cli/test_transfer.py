"""`tierrec export` and `tierrec import` between real stores, also when they are killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select

from services.store import Store
from services.store.schema import EVENTS
from services.transfer.files import progress_path
from tests.support.commands import tierrec
from tests.support.postgres import new_schema
from tests.support.projects import ROOT
from tests.support.transfer_records import NOW
from tierrec_core.base.errors import SettingsError

pytest_plugins = ["tests.support.stores"]

NUM_EVENTS = 30_000
PROGRAM = """
from flows.cli.transfer import app
app()
"""


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of events, each with its own key."""
    path = tmp_path_factory.mktemp("lines") / "events.jsonl"
    moment = NOW.isoformat()
    with path.open("w") as file:
        for number in range(NUM_EVENTS):
            event = {"key": f"k{number}", "user_id": f"u{number % 97}", "item_id": "i", "event": "view"}
            file.write(json.dumps(event | {"timestamp": moment}) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(lines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store that has these events."""
    folder = tmp_path_factory.mktemp("serving")
    shown = tierrec("import", "events", lines, "--folder", folder)
    assert "30,000 accepted, 0 duplicates, 0 rejected" in shown
    return folder


def keys(url: str) -> list[str]:
    with contextlib.closing(Store.open(url)) as store, store.database.reading() as connection:
        return list(connection.scalars(select(EVENTS.c.key).order_by(EVENTS.c.id)))


def killed(progress: Path, enough: dict[str, int], *arguments: object) -> int:
    """Run a command and kill it, as kill -9 does, once its progress is far enough; its exit code."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    (name, wanted), *_ = enough.items()
    while process.poll() is None:
        if progress.exists():
            state = json.loads(progress.read_text())
            if (state | state.get("answer", {}))[name] >= wanted:
                process.kill()
        time.sleep(0.002)
    return process.wait()


@pytest.mark.slow
def test_an_import_that_is_killed_keeps_each_event_once(lines: Path, tmp_path: Path) -> None:
    progress, command = progress_path(lines), ("import", "events", lines, "--folder", tmp_path)
    reached = 0
    for wanted in (3_000, 9_000):
        assert killed(progress, {"lines": wanted}, *command) == -signal.SIGKILL
        now = json.loads(progress.read_text())["answer"]["lines"]
        assert wanted <= now < NUM_EVENTS
        assert now > reached
        reached = now
    shown = tierrec(*command)
    accepted, duplicates = (int(word.replace(",", "")) for word in shown.split(": ")[1].split()[:3:2])
    assert accepted + duplicates == NUM_EVENTS
    assert duplicates <= 2 * 1000  # a batch at each kill, which was kept before it could be noted
    assert keys(f"sqlite:///{tmp_path / 'feedback.db'}") == [f"k{number}" for number in range(NUM_EVENTS)]
    assert not progress.exists()


SELF_KILLED = """
import os, signal, sys
from pathlib import Path
from services.store import Store
from services.transfer.files import export_file
store, path = Store.open(sys.argv[1]), Path(sys.argv[2])
left = iter(range(2))
on_progress = lambda *_: next(left, None) is not None or os.kill(os.getpid(), signal.SIGKILL)
export_file(store, "events", path, on_progress=on_progress, part_rows=7_000)
"""


@pytest.mark.parametrize("suffix", ["jsonl", pytest.param("parquet", marks=pytest.mark.slow)])
def test_an_export_that_is_killed_goes_on_to_the_same_file(folder: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    command = [sys.executable, "-c", SELF_KILLED, f"sqlite:///{folder / 'feedback.db'}", str(path)]
    ran = subprocess.run(command, cwd=ROOT, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert ran.returncode == -signal.SIGKILL
    assert not path.exists()
    assert json.loads(progress_path(path).read_text())["rows"] == 21_000
    assert f"30,000 events are in {path}; to continue: --since 30000" in tierrec(
        "export", "events", path, "--folder", folder
    )
    frame = pd.read_parquet(path) if suffix == "parquet" else pd.read_json(path, lines=True)
    assert frame["key"].tolist() == [f"k{number}" for number in range(NUM_EVENTS)]
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_stores_of_both_kinds_exchange_what_they_hold(folder: Path, postgres: str, tmp_path: Path) -> None:
    url = new_schema(postgres)
    path = tmp_path / "events.parquet"
    tierrec("export", "events", path, "--folder", folder, "--since", NUM_EVENTS - 2000)
    assert "2,000 accepted" in tierrec("import", "events", path, "--store", url)
    assert keys(url) == [f"k{number}" for number in range(NUM_EVENTS - 2000, NUM_EVENTS)]
    assert "0 accepted, 2,000 duplicates" in tierrec("import", "events", path, "--store", url)
    again = tmp_path / "again.parquet"
    tierrec("export", "events", again, "--store", url)
    pd.testing.assert_frame_equal(
        pd.read_parquet(again).drop(columns="_cursor"), pd.read_parquet(path).drop(columns="_cursor")
    )


def test_several_files_are_taken_and_bad_lines_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"user_id": "u", "attributes": {"plan": "gold"}}\n')
    (tmp_path / "b.jsonl").write_text('{"user_id": "v"}\n\n{"user_id": 5}\n{"user_id": "w"}')
    shown = tierrec("import", "users", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--folder", tmp_path, code=1)
    assert "a.jsonl: 1 accepted, 0 duplicates, 0 rejected" in shown
    assert "b.jsonl: 2 accepted, 0 duplicates, 1 rejected" in shown
    assert "  line 3: user_id: Input should be a valid string" in shown
    with contextlib.closing(Store.open(f"sqlite:///{tmp_path / 'feedback.db'}")) as store:
        assert {one.user_id: one.attributes for one in store.users_after(0, 9)} == {
            "u": {"plan": "gold"},
            "v": {},
            "w": {},
        }
    assert sorted(tmp_path.glob("*.progress")) == []


def test_an_export_for_ingest_writes_what_ingest_reads(folder: Path, tmp_path: Path) -> None:
    shown = tierrec("export", "events", tmp_path / "feedback", "--folder", folder, "--for-ingest")
    assert "30,000 events, and items and users, are in" in shown
    assert len(pd.read_parquet(tmp_path / "feedback" / "events.parquet")) == NUM_EVENTS
    assert {one.name for one in (tmp_path / "feedback").iterdir()} == {
        "events.parquet",
        "items.parquet",
        "users.parquet",
    }


def test_an_export_of_no_store_makes_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"feedback\.db: is missing; give its folder with --folder"):
        tierrec("export", "events", tmp_path / "out.jsonl", "--folder", tmp_path)
    with pytest.raises(SettingsError, match="--for-ingest exports all records of all types"):
        tierrec("export", "items", tmp_path, "--store", f"sqlite:///{tmp_path / 'feedback.db'}", "--for-ingest")
    assert not (tmp_path / "out.jsonl").exists()
