"""A project goes on from its backup after all else is gone."""

import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx
import pytest

from flows.graph.dvc_graph import find_stale_stages
from flows.project.release_log import list_releases
from flows.project.status import ProjectStatus
from flows.storage.archive import back_up, restore
from services.deployment.server import bento_to_serve, running_server
from tests.support.drifting_shop import copy_shop, later_events, tell
from tests.support.packaged_project import ranked_lists
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.base.paths import Layout


def answers(layout: Layout, users: Iterable[str]) -> dict[str, list[str]]:
    """The lists that the restored project serves."""
    tag = bento_to_serve(layout, layout.serving)
    with running_server(layout.bento_home, tag, quiet=True) as server:
        found = {user: httpx.post(f"{server.url}/recommend", json={"user_id": user, "k": 5}).json() for user in users}
    return {user: [item["item_id"] for item in one["items"]] for user, one in found.items()}


def test_the_project_goes_on_from_its_backup(tmp_path: Path) -> None:
    shop = Layout(tmp_path / "shop")
    copy_shop(shop.root)
    tell(shop.root, later_events()[:500])
    lists = {user: items[:5] for user, items in [*ranked_lists(shop.bundle, "next").items()][:40]}
    before = ProjectStatus.of(shop), list_releases(shop)
    database = shop.serving / "feedback.db"
    with sqlite3.connect(database) as open_elsewhere:
        open_elsewhere.execute("BEGIN IMMEDIATE")  # as the service does while it writes
        size = back_up(shop, shop.root / "shop.tar")  # which has no copy of itself
        shutil.move(shop.root / "shop.tar", tmp_path)
    with tarfile.open(tmp_path / "shop.tar") as archive:
        assert not [name for name in archive.getnames() if "shop.tar" in name]
    assert stat.S_IMODE((tmp_path / "shop.tar").stat().st_mode) == 0o600
    assert size == (tmp_path / "shop.tar").stat().st_size
    shutil.rmtree(shop.root)

    again = restore(tmp_path / "shop.tar", tmp_path / "elsewhere")
    assert find_stale_stages(again.root) == set()
    with sqlite3.connect(again.serving / "feedback.db") as store:
        assert store.execute("SELECT count(*) FROM events").fetchone() == (500,)
    assert (ProjectStatus.of(again), list_releases(again)) == before
    assert answers(again, lists) == lists


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
