"""Files of the user's that appear, grow, change or go make `ingest` stale, however the stages are run."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flows.graph.dvc_graph import find_stale_stages
from tests.support.drifting_shop import configure
from tests.support.projects import BIN, ENV, ROOT, command, migrate_prefect, toy_project
from tierrec_core.base.paths import Layout

STAGE = f"cmd: PYTHONPATH='{ROOT}' python -m tierrec_core"
DVC = f"""
stages:
  source: {{{STAGE} source, always_changed: true, params: [source], outs: [data/source.json]}}
  ingest: {{{STAGE} ingest, params: [source], deps: [data/source.json], outs: [data/raw]}}
"""
LOG, SECOND, ITEMS, USERS = "logs/tag 1 ü.csv", "logs/day 2.csv", "items.csv", "users.csv"
ROWS = "u1,i1,2024-01-01T10:00:00\nu2,i2,2024-01-01T11:00:00\n"
HEADER = "user_id,item_id,timestamp\n"
SOURCE = {"kind": "files", "paths": ["logs/*.csv"], "items_path": ITEMS, "users_path": USERS}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy_project(tmp_path_factory.mktemp("new data") / "shop", DVC)
    configure(folder, source=SOURCE)
    for name, text in ((LOG, HEADER + ROWS), (ITEMS, "item_id\ni1\ni2\n"), (USERS, "user_id\nu1\n")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    command(folder, "dvc", "repro").check_returncode()
    assert find_stale_stages(folder) == set()
    return folder


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    """A copy with the times of the original, whose stages are up to date."""
    folder = tmp_path / "shop"
    shutil.copytree(made, folder, symlinks=True)
    return folder


def append(folder: Path) -> None:
    with (folder / LOG).open("a") as file:
        file.write("u3,i1,2024-01-02T10:00:00\n")


def deliver(folder: Path) -> None:
    (folder / SECOND).write_text(HEADER + ROWS.replace("2024-01-01", "2024-01-02"))


def replace_alike(folder: Path) -> None:
    """Another content of the same size and time, as a copy that keeps times leaves it."""
    before = (folder / LOG).stat()
    (folder / "fresh").write_text(HEADER + ROWS.replace("u1", "u9"))
    os.utime(folder / "fresh", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "fresh").replace(folder / LOG)


def link(folder: Path) -> None:
    (folder / "elsewhere.csv").write_text(HEADER + ROWS)
    (folder / SECOND).symlink_to(folder / "elsewhere.csv")


def change_items(folder: Path) -> None:
    (folder / ITEMS).write_text("item_id\ni1\ni2\ni3\n")


def change_users(folder: Path) -> None:
    (folder / USERS).write_text("user_id\nu2\n")


def delete(folder: Path) -> None:
    (folder / LOG).unlink()


@pytest.mark.parametrize(
    "change", [append, deliver, replace_alike, link, change_items, change_users, delete], ids=lambda one: one.__name__
)
def test_a_change_of_the_files_makes_the_source_stale(shop: Path, change: Callable[[Path], None]) -> None:
    change(shop)
    assert find_stale_stages(shop) == {"source"}


def touch(folder: Path) -> None:
    os.utime(folder / LOG)


def rewrite(folder: Path) -> None:
    (folder / LOG).write_text((folder / LOG).read_text())


def hide(folder: Path) -> None:
    """What a program writes before it renames the file."""
    (folder / "logs" / ".day 2.csv.tmp").write_text("half a fi")


@pytest.mark.parametrize("change", [touch, rewrite, hide], ids=lambda one: one.__name__)
def test_files_of_the_same_content_change_nothing(shop: Path, change: Callable[[Path], None]) -> None:
    change(shop)
    assert find_stale_stages(shop) == set()


def num_events(folder: Path) -> int:
    return len(pd.read_parquet(Layout(folder).raw_events))


@pytest.mark.slow
def test_every_way_to_run_the_stages_reads_new_rows(shop: Path) -> None:
    """Plain DVC, and `tierrec run`; `tierrec status` says before and after what there is to do."""
    migrate_prefect(shop / ".prefect")
    append(shop)
    assert "stale: source, ingest" in command(shop, "tierrec", "status").stdout
    (shop / "elsewhere").mkdir()
    command(shop / "elsewhere", "dvc", "repro", "--all-pipelines").check_returncode()
    assert num_events(shop) == 3
    assert "stale: nothing" in command(shop, "tierrec", "status").stdout
    assert "didn't change" in command(shop, "dvc", "repro").stdout
    deliver(shop)
    ran = command(shop, "tierrec", "run")
    assert ran.returncode == 0, ran.stderr
    assert num_events(shop) == 5
    assert "stale: nothing" in command(shop, "tierrec", "status").stdout


def test_a_glob_without_a_file_says_what_was_looked_for(shop: Path) -> None:
    delete(shop)
    ran = command(shop, "dvc", "repro")
    assert ran.returncode != 0
    assert f"error: {shop / 'logs/*.csv'}: no file matches; correct source.paths" in ran.stderr + ran.stdout
    assert "stale: source, ingest" in command(shop, "tierrec", "status").stdout


def test_files_are_hashed_again_only_if_they_changed(shop: Path) -> None:
    """What is known of a file counts as long as its size and times are the same."""
    known = Layout(shop).source_hashes
    find_stale_stages(shop)
    text = known.read_text()
    known.write_text(text.replace('"sha256": "', '"sha256": "not'))
    assert find_stale_stages(shop) == {"source"}
    os.utime(shop / LOG)
    os.utime(shop / ITEMS)
    os.utime(shop / USERS)
    assert find_stale_stages(shop) == set()


@pytest.mark.parametrize("text", ["", "null", "[]", '{"items.csv": {}}'])
def test_what_is_known_of_files_may_be_damaged(shop: Path, text: str) -> None:
    Layout(shop).source_hashes.write_text(text)
    assert find_stale_stages(shop) == set()


@pytest.mark.slow
def test_a_run_with_a_proxy_workers_and_closed_streams_beside_another(shop: Path) -> None:
    """Both start a server in one new folder; neither request goes to the proxy, on which nothing listens."""
    append(shop)
    environment = ENV | {"http_proxy": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9", "WEB_CONCURRENCY": "3"}
    started = [
        subprocess.Popen(
            ["sh", "-c", f"'{BIN}/tierrec' run <&- 2>&-"], cwd=shop, env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=280)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert num_events(shop) == 3
    deliver(shop)
    blocked = command(shop, "tierrec", "run", env=ENV | {"PREFECT_HOME": "/dev/null"})
    assert (blocked.returncode, "error: Prefect's server did not start in /dev/null" in blocked.stderr) == (2, True)


def test_files_in_a_folder_that_cannot_be_written(shop: Path) -> None:
    (shop / "logs").chmod(0o555)
    try:
        command(shop, "dvc", "repro").check_returncode()
    finally:
        (shop / "logs").chmod(0o755)
    assert find_stale_stages(shop) == set()
