"""A dvc.lock that was cut or overwritten stops nothing: whole stages are kept, the others run again."""

import shutil
from pathlib import Path

import pytest

from flows.graph.dvc_graph import StageGraph, find_stale_stages
from tests.support.projects import command, toy_project
from tierrec_core.base.errors import SettingsError

DVC = """
stages:
  one: {cmd: echo run >> runs.txt && echo 1 > one.txt, deps: [params.yaml], outs: [one.txt]}
  two: {cmd: echo run >> runs.txt && cat one.txt one.txt > two.txt, deps: [one.txt], outs: [two.txt]}
  three: {cmd: echo run >> runs.txt && cat two.txt one.txt > three.txt, deps: [one.txt, two.txt], outs: [three.txt]}
"""
NAMES = ["one", "two", "three"]
OVERWRITTEN = {
    "nothing": b"",
    "zeros": bytes(400),
    "a list": b"- 1\n",
    "conflict": b"<<<<<<< HEAD\n",
    "no text": b"\xff\xfe",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy_project(tmp_path_factory.mktemp("lock") / "shop", DVC)
    command(folder, "dvc", "repro").check_returncode()
    assert find_stale_stages(folder) == set()
    return folder


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    shutil.copytree(made, folder, symlinks=True)
    return folder


@pytest.mark.parametrize("tenths", [2, 5, 8])
def test_the_stages_before_a_cut_are_kept(shop: Path, tenths: int) -> None:
    lock = shop / "dvc.lock"
    whole = lock.read_text()
    cut = whole[: len(whole) * tenths // 10]
    lock.write_text(cut)
    stale = find_stale_stages(shop)
    kept = [name for name in NAMES if name not in stale]
    assert kept == NAMES[: len(kept)]
    assert len(kept) >= cut.count("outs:") - 1
    assert StageGraph.read(shop).affected(stale) == NAMES[len(kept) :]
    command(shop, "dvc", "repro").check_returncode()
    assert find_stale_stages(shop) == set()
    assert (shop / "runs.txt").read_text() == "run\n" * 3, "outputs are restored from the cache"


@pytest.mark.parametrize("content", OVERWRITTEN.values(), ids=OVERWRITTEN)
def test_what_is_no_lock_is_deleted(shop: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (shop / "dvc.lock").write_bytes(content)
    assert find_stale_stages(shop) == set(NAMES)
    assert "dvc.lock was damaged; 0 stages are kept" in caplog.text
    assert not (shop / "dvc.lock").exists()


@pytest.mark.parametrize(("lost", "remedy"), [(".git", "git init"), (".dvc", "dvc init")])
def test_a_lost_folder_is_named_with_the_remedy(shop: Path, lost: str, remedy: str) -> None:
    shutil.rmtree(shop / lost)
    with pytest.raises(SettingsError, match=f"restore {lost}, or run `{remedy}`"):
        find_stale_stages(shop)
