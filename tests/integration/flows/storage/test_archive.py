"""A project goes on from its backup after all else is gone."""

import json
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.graph.dvc_graph import find_stale_stages
from flows.project.release_log import list_releases
from flows.storage.archive import back_up, restore
from services.deployment.server import bento_to_serve, running_server
from tests.support.drifting_shop import copy_shop, later_events, tell
from tests.support.projects import command
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.base.paths import Layout

USERS = [str(number) for number in range(20)]


def answers(layout: Layout) -> list[Any]:
    """The served lists of some users, without what differs from one request to the next."""
    with running_server(
        layout.bento_home, bento_to_serve(layout, layout.serving), folder=layout.serving, quiet=True
    ) as server:
        found = [httpx.post(f"{server.url}/recommend", json={"user_id": user, "k": 5}).json() for user in USERS]
    return [[item["item_id"] for item in one["items"]] for one in found]


def status(layout: Layout) -> Any:
    return json.loads(command(layout.root, "tierrec", "status", "--json").stdout)


def test_the_project_goes_on_from_its_backup(tmp_path: Path) -> None:
    shop = Layout(tmp_path / "shop")
    copy_shop(shop.root)
    tell(shop.root, later_events()[:500])
    before = answers(shop), status(shop), list_releases(shop)
    database = shop.serving / "feedback.db"
    with sqlite3.connect(database) as open_elsewhere:
        open_elsewhere.execute("BEGIN IMMEDIATE")  # as the service does while it writes
        size = back_up(shop, tmp_path / "shop.tar")
    assert stat.S_IMODE((tmp_path / "shop.tar").stat().st_mode) == 0o600
    assert size == (tmp_path / "shop.tar").stat().st_size
    shutil.rmtree(shop.root)

    again = restore(tmp_path / "shop.tar", tmp_path / "elsewhere")
    assert find_stale_stages(again.root) == set()
    with sqlite3.connect(again.serving / "feedback.db") as store:
        assert store.execute("SELECT count(*) FROM events").fetchone() == (500,)
    assert (answers(again), status(again), list_releases(again)) == before


@pytest.mark.parametrize("damage", [lambda path: path.write_text("no"), Path.unlink], ids=["no archive", "no file"])
def test_what_is_no_backup_is_named(damage: Callable[[Path], object], tmp_path: Path) -> None:
    file = tmp_path / "shop.tar"
    file.touch()
    damage(file)
    with pytest.raises(ArtifactError, match=r"shop\.tar: cannot be restored"):
        restore(file, tmp_path / "new")


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").touch()
    with pytest.raises(SettingsError, match="exists and is not empty"):
        restore(tmp_path / "shop.tar", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
