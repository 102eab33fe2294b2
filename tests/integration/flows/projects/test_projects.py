"""`tierrec new` makes a project without the platform's code, and `tierrec upgrade` brings it to a new version."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.deps import ROOMS
from flows.graph.dvc_graph import find_stale_stages
from flows.projects import create_project, upgrade_project
from services.releases.pointer import FILE, Deployed, Pointer
from tests.support.projects import ENV, ROOT, command, pretend_run
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings
from tierrec_core.stage_code import VERSIONS, write_code_versions


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects") / "shop"
    create_project(folder, demo=True)
    pretend_run(folder)
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "ran")
    return folder


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "shop", symlinks=True))


@pytest.fixture(scope="module")
def new_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The platform with another ease and another prefect.yaml."""
    folder = tmp_path_factory.mktemp("platform")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("*.pyc.*"))
    for file in ("tierrec_core/models/ease/__init__.py", "flows/projects/template/prefect.yaml"):
        (folder / file).write_text((folder / file).read_text() + "\n# changed\n")
    return folder


def test_a_new_project_has_settings_and_no_code(tmp_path: Path) -> None:
    create_project(tmp_path / "shop", demo=False)
    shop = tmp_path / "shop"
    assert git(shop, "status", "--porcelain") == ""
    assert git(shop, "log", "--format=%s") == "New project of tierrec\n"
    assert set(git(shop, "ls-files").split()) == {
        *(".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", "README.md", "constraints.txt"),
        *("data/feedback/.gitkeep", "dvc.yaml", "params.yaml", "prefect.yaml"),
    }
    source = read_settings(shop / "params.yaml").source
    assert (source.kind, source.paths) == ("files", ())
    refused = command(shop, "python", "-m", "tierrec_core", "ingest")
    assert (refused.returncode, "run `tierrec init LOG`" in refused.stderr) == (2, True), refused.stderr


def test_a_log_is_never_committed(tmp_path: Path) -> None:
    create_project(tmp_path / "shop", demo=False)
    for name in ("log.csv", "2024/log.csv.gz", "log.parquet", "log.xlsx"):
        (tmp_path / "shop" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "shop" / name).touch()
    assert git(tmp_path / "shop", "status", "--porcelain") == ""


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SettingsError, match="exists and is not empty"):
        create_project(tmp_path, demo=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_project_in_a_repository_becomes_a_part_of_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    create_project(tmp_path / "shops" / "one", demo=True)
    assert not (tmp_path / "shops" / "one" / ".git").exists()
    assert "?? shops/" in git(tmp_path, "status", "--porcelain")
    assert find_stale_stages(tmp_path / "shops" / "one")


def test_the_code_is_that_of_the_installation(shop: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tierrec_core", tmp_path / "clone" / "tierrec_core")
    for room in set(ROOMS) - {"tierrec_core"}:
        shutil.copytree(ROOT / room, tmp_path / "clone" / room)
    write_code_versions(tmp_path / "clone")
    assert (shop / VERSIONS).read_text() == (tmp_path / "clone" / VERSIONS).read_text()
    assert find_stale_stages(shop) == set()


def test_an_upgrade_says_what_will_run_again_and_keeps_the_champion(shop: Path, new_version: Path) -> None:
    champion = Pointer(champion=Deployed(bento="tierrec:abc", model="tierrec-bundle:d"), changed=datetime.now(UTC))
    (shop / "data/serving").mkdir()
    (shop / "data/serving" / FILE).write_text(champion.model_dump_json())
    environment = ENV | {"PYTHONPATH": os.fspath(new_version)}
    upgraded = command(shop, "tierrec", "upgrade", "--json", env=environment)
    assert json.loads(upgraded.stdout) == {
        "replaced": ["prefect.yaml"],
        "stale": ["train@ease_binary", "train@ease", "retrieve", "blend", "evaluate", "report", "package"],
        "champion": "tierrec:abc",
    }, upgraded.stderr
    assert git(shop, "diff", "--name-only").split() == ["prefect.yaml"]
    assert Pointer.read(shop / "data/serving" / FILE).champion.bento == "tierrec:abc"


def test_a_change_that_is_not_committed_is_not_overwritten(shop: Path) -> None:
    (shop / "data/package/bento.json").unlink()
    (shop / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(SettingsError, match=r"dvc\.yaml: has changes that are not committed"):
        upgrade_project(Layout(shop))
    git(shop, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "ours")
    assert upgrade_project(Layout(shop)).replaced == ("dvc.yaml",)
    assert (shop / "dvc.yaml").read_text() == (ROOT / "dvc.yaml").read_text()
