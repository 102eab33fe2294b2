"""What `tierrec clean` deletes, and the sizes that `tierrec disk` shows."""

import os
import shutil
from pathlib import Path

import pytest

from flows.project.git import run_git
from flows.project.params import replace_sections
from flows.project.release_log import find_release, write_release
from flows.storage import clean_project, disk_usage
from tests.support.projects import command, toy_project
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout

GRAPH = """
stages:
  make:
    cmd:
      - mkdir -p data/made/deep
      - echo ${seed} | tee data/one.txt data/made/a.txt > data/made/deep/b.txt
      - date +%N >> data/one.txt
    params: [seed]
    outs: [data/one.txt, data/made]
"""
BENTO = "name: shop\nversion: v1\nmodels: [{tag: 'shop-bundle:m1'}]\nlabels: {}\ncreation_time: '2026-01-01'\n"


def run(layout: Layout, seed: int) -> dict[str, str]:
    """Run the stage; what its outputs hold."""
    replace_sections(layout.params, {"seed": seed})
    command(layout.root, "dvc", "repro").check_returncode()
    return outputs(layout)


def outputs(layout: Layout) -> dict[str, str]:
    files = [layout.data / "one.txt", *(layout.data / "made").rglob("*.txt")]
    return {str(path.relative_to(layout.data)): path.read_text() for path in files}


def objects(layout: Layout) -> set[Path]:
    return {path for path in (layout.root / ".dvc/cache/files").rglob("*") if path.is_file()}


def check_out(layout: Layout) -> bool:
    """Whether DVC can restore what dvc.lock names."""
    shutil.rmtree(layout.data / "made")
    return command(layout.root, "dvc", "checkout", "--force").returncode == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, list[dict[str, str]]]:
    """Three runs, of which the first is a release that the store has; and what each made."""
    layout = Layout(toy_project(tmp_path_factory.mktemp("storage") / "shop", GRAPH))
    (layout.root / ".gitignore").write_text("/data/\n/.bentoml/\n")
    runs = [run(layout, 1)]
    artifacts.write_json({"tag": "shop:v1", "model": "m", "smoke": {}}, layout.bento)
    write_release(layout, "shop:v1", reason="first", gate=None)
    (layout.bento_home / "bentos/shop/v1").mkdir(parents=True)
    (layout.bento_home / "bentos/shop/v1/bento.yaml").write_text(BENTO)
    return layout, [*runs, run(layout, 2), run(layout, 3)]


@pytest.fixture
def layout(made: tuple[Layout, list[dict[str, str]]], tmp_path: Path) -> Layout:
    return Layout(Path(shutil.copytree(made[0].root, tmp_path / "shop", symlinks=True)))


def test_the_current_outputs_and_those_of_stored_releases_stay(
    layout: Layout, made: tuple[Layout, list[dict[str, str]]]
) -> None:
    first, second, third = made[1]
    before = objects(layout)
    planned = clean_project(layout, dry_run=True)
    assert objects(layout) == before
    assert clean_project(layout) == planned
    gone = before - objects(layout)
    assert planned == (
        len(gone),
        sum((Path(str(path).replace(str(layout.root), str(made[0].root)))).stat().st_size for path in gone),
    )
    kept = {path.read_text() for path in objects(layout) if path.suffix != ".dir"}
    assert kept == {*first.values(), *third.values()}
    assert not kept & set(second.values())
    assert check_out(layout)
    assert outputs(layout) == third
    lock = run_git(layout.root, "show", f"{find_release(layout, 'shop:v1').revision}:dvc.lock")
    layout.dvc_lock.write_text(lock)
    assert check_out(layout)
    assert outputs(layout) == first


def test_a_release_that_left_the_store_is_not_kept(layout: Layout, made: tuple[Layout, list[dict[str, str]]]) -> None:
    shutil.rmtree(layout.bento_home)
    clean_project(layout)
    kept = {path.read_text() for path in objects(layout) if path.suffix != ".dir"}
    assert kept == set(made[1][2].values())


def test_what_a_retrain_would_restore_stays(layout: Layout, made: tuple[Layout, list[dict[str, str]]]) -> None:
    backup = layout.loop / "retrains" / "backup"
    backup.mkdir(parents=True)
    shutil.copy(layout.dvc_lock, backup)
    run(layout, 4)
    clean_project(layout)
    shutil.copy(backup / "dvc.lock", layout.dvc_lock)
    assert check_out(layout)
    assert outputs(layout) == made[1][2]


def test_a_cache_that_others_may_use_is_left_alone(layout: Layout, tmp_path: Path) -> None:
    shutil.move(layout.root / ".dvc/cache", tmp_path / "shared")
    command(layout.root, "dvc", "cache", "dir", "--local", str(tmp_path / "shared")).check_returncode()
    assert clean_project(layout) == (0, 0)


def test_each_byte_counts_once(layout: Layout) -> None:
    (layout.loop / "twice").mkdir(parents=True)
    os.link(layout.data / "one.txt", layout.loop / "twice" / "one.txt")
    used = {one.kind: one for one in disk_usage(layout)}
    files = {path.lstat().st_ino: path.lstat().st_size for path in layout.root.rglob("*") if not path.is_dir()}
    folders = (layout.root / name for name in (".dvc", ".git", ".bentoml", "data"))
    inside = {path.lstat().st_ino for folder in folders for path in folder.rglob("*") if not path.is_dir()}
    assert sum(one.bytes for one in used.values()) == sum(files[inode] for inode in inside)
    assert used["DVC's cache: outputs of the stages"].freed == clean_project(layout, dry_run=True)[1]
