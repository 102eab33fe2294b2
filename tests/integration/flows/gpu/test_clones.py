"""Clones of workers and the remote between them and the project, with real git and DVC."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.cli import main as dvc_main
from dvc.repo import Repo

from flows.gpu import dvc_remote
from flows.gpu.work_pool import PoolNotReady, RemoteConfig, WorkPool
from flows.gpu.worker import CLONES_VARIABLE, MAX_REPOSITORIES, borrow_clone, prune_caches
from flows.project import snapshots
from tests.support.prefect_workers import commit
from tests.support.projects import command, toy_project
from tierrec_core.base.errors import StageError

GRAPH = 'stages: {{data: {{cmd: "echo {word} > rows", outs: [rows]}}}}'
REF = "refs/tierrec/stages/test/data"
FAR, NEAR = WorkPool("gpu", ("gpu@far",), is_here=False), WorkPool("gpu", ("gpu@here",), is_here=True)


@pytest.fixture(autouse=True)
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CLONES_VARIABLE, str(tmp_path / "clones"))
    return tmp_path / "clones"


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in git and DVC; tests copy it."""
    made = toy_project(tmp_path_factory.mktemp("committed") / "project", GRAPH.format(word="one"))
    commit(made)
    return made


@pytest.fixture
def project(committed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(committed, tmp_path / "project", symlinks=True))


def dvc(folder: Path, *arguments: str) -> None:
    """A command of DVC that succeeds, in this process: importing it takes seconds."""
    with contextlib.chdir(folder):
        assert dvc_main(list(arguments)) == 0


def test_a_clone_has_exactly_the_revision_and_keeps_its_caches(project: Path) -> None:
    first = snapshots.record_snapshot(project, "one", REF)
    with borrow_clone(str(project)) as clone:
        clone.check_out(str(project), REF, first)
        root = clone.project("", {"name": "far", "url": "/far"})
        for left in ("rows", "deps/stale", ".dvc/tmp/kept"):
            (root / left).parent.mkdir(exist_ok=True)
            (root / left).write_text("from before")
    (project / "dvc.yaml").write_text(GRAPH.format(word="two"))
    (project / "params.yaml").unlink()
    second = snapshots.record_snapshot(project, "two", REF)
    with borrow_clone(str(project)) as again:
        assert again == clone
        again.check_out(str(project), REF, second)
        tracked = {".dvc", ".dvcignore", ".git", "dvc.yaml"}
        assert {one.name for one in again.folder.iterdir()} == tracked
        assert "two" in (again.folder / "dvc.yaml").read_text()
        assert (again.folder / ".dvc" / "tmp" / "kept").read_text() == "from before"
        assert dvc_remote.read_remote(again.folder) == {"name": "far", "url": "/far"}


def test_a_ref_that_moved_on_is_no_other_revision(project: Path) -> None:
    first = snapshots.record_snapshot(project, "one", REF)
    (project / "dvc.yaml").write_text(GRAPH.format(word="two"))
    snapshots.record_snapshot(project, "two", REF)
    with borrow_clone(str(project)) as clone, pytest.raises(StageError, match=f"wanted {first[:12]}"):
        clone.check_out(str(project), REF, first)


def test_two_at_once_have_a_clone_each_and_one_cache(project: Path) -> None:
    with borrow_clone(str(project)) as one, borrow_clone(str(project)) as two:
        assert one.folder != two.folder
        assert one.cache == two.cache
    with borrow_clone(str(project)) as again:
        assert again == one


def test_a_project_in_a_subfolder_is_found_in_the_clone(tmp_path: Path) -> None:
    top = tmp_path / "shops"
    top.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=top, check=True)
    root = top / "books"
    root.mkdir()
    (root / "dvc.yaml").write_text(GRAPH.format(word="one"))
    dvc(root, "init", "-q", "--subdir")
    route = RemoteConfig.find(root, NEAR)
    assert (route.repository, route.push_to, route.folder) == (str(top), None, "books")
    revision = snapshots.record_snapshot(root, "one", REF)
    with borrow_clone(route.repository) as clone:
        clone.check_out(route.repository, REF, revision)
        assert (clone.project(route.folder, route.remote) / "dvc.yaml").read_text() == GRAPH.format(word="one")


def test_a_remote_is_told_in_full_but_without_its_keys(project: Path) -> None:
    dvc(project, "remote", "add", "--default", "shared", "s3://bucket/dvc")
    for key, value in (("endpointurl", "http://far:9000"), ("secret_access_key", "secret")):
        dvc(project, "remote", "modify", "--local", "shared", key, value)
    assert dvc_remote.read_remote(project) == {
        "name": "shared",
        "url": "s3://bucket/dvc",
        "endpointurl": "http://far:9000",
    }


def test_a_relative_remote_is_told_as_a_place_that_a_clone_can_find(project: Path) -> None:
    dvc(project, "remote", "add", "--default", "shared", "../remote")
    assert dvc_remote.read_remote(project) == {"name": "shared", "url": str(project.parent / "remote")}


def test_a_project_without_a_remote_gets_a_folder_and_tracked_files_stay(project: Path) -> None:
    before = (project / ".dvc" / "config").read_text()
    assert dvc_remote.read_remote(project) is None
    given = dvc_remote.ensure_remote(project)
    assert given == {"name": "tierrec", "url": str(project / "data" / "loop" / "remote")}
    assert dvc_remote.ensure_remote(project) == given
    assert (project / ".dvc" / "config").read_text() == before
    with Repo(str(project)) as repo:
        assert repo.cloud.get_remote().path == given["url"]


def test_what_a_person_configured_locally_stays_when_a_remote_is_added(project: Path) -> None:
    dvc(project, "config", "--local", "cache.type", "copy")
    dvc_remote.ensure_remote(project)
    assert command(project, "dvc", "config", "cache.type").stdout.strip() == "copy"


def test_far_workers_fetch_from_origin_and_near_ones_from_the_project(project: Path) -> None:
    dvc(project, "remote", "add", "--default", "shared", "s3://bucket/dvc")
    with pytest.raises(PoolNotReady, match="no git remote origin"):
        RemoteConfig.find(project, FAR)
    subprocess.run(["git", "remote", "add", "origin", "https://me:pw@git.example/s.git"], cwd=project, check=True)
    far, near = RemoteConfig.find(project, FAR), RemoteConfig.find(project, NEAR)
    assert (far.repository, far.push_to) == ("https://git.example/s.git", "origin")
    assert (near.repository, near.push_to) == (str(project), None)


def test_far_workers_want_a_dvc_remote_that_keeps_a_run_cache(project: Path) -> None:
    subprocess.run(["git", "remote", "add", "origin", "/srv/s.git"], cwd=project, check=True)
    with pytest.raises(PoolNotReady, match="no DVC remote"):
        RemoteConfig.find(project, FAR)
    dvc(project, "remote", "add", "--default", "web", "https://files.example")
    with pytest.raises(PoolNotReady, match="cannot store a run-cache in https"):
        RemoteConfig.find(project, FAR)


def test_a_folder_in_no_repository_says_so(tmp_path: Path) -> None:
    with pytest.raises(PoolNotReady, match="is not in a git repository"):
        RemoteConfig.find(tmp_path, NEAR)


def fill(folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "object").write_bytes(bytes(size))


def test_a_cache_that_is_too_large_begins_anew_when_nobody_uses_it(project: Path, clones: Path) -> None:
    with borrow_clone(str(project)) as one:
        fill(one.cache / "files", 2000)
        with borrow_clone(str(project)):
            pass
        prune_caches(clones, one.cache.parent, max_bytes=1000)
        assert one.cache.exists(), "somebody works with it"
    prune_caches(clones, one.cache.parent, max_bytes=3000)
    assert one.cache.exists(), "it is not too large"
    prune_caches(clones, one.cache.parent, max_bytes=1000)
    assert not one.cache.exists()
    with borrow_clone(str(project)) as again:
        assert again == one


def test_repositories_that_were_used_longest_ago_go(clones: Path) -> None:
    folders = []
    for number in range(5):
        with borrow_clone(f"/shop{number}") as clone:
            fill(clone.folder, 10)
        folders.append(clone.folder.parent)
        os.utime(folders[-1] / "used", (number, number))
    with borrow_clone("/shop0"):
        prune_caches(clones, folders[4], max_repositories=3)
        assert [one.exists() for one in folders] == [True, False, True, True, True], "shop0 is in use"
    os.utime(folders[0] / "used", (0, 0))
    prune_caches(clones, folders[4], max_repositories=3)
    assert [one.exists() for one in folders] == [False, False, True, True, True]
    with borrow_clone("/shop0") as clone:
        assert clone.folder.parent == folders[0]


def test_every_stage_leaves_the_clones_within_their_bounds(clones: Path) -> None:
    for number in range(MAX_REPOSITORIES + 3):
        with borrow_clone(f"/shop{number}"):
            pass
    assert sum(one.is_dir() for one in clones.iterdir()) == MAX_REPOSITORIES


@pytest.mark.slow
def test_a_remote_of_our_own_keeps_what_is_a_result_now_and_can_be_filled_again(tmp_path: Path) -> None:
    """Outputs are folders that share files, which DVC takes for there as soon as the folder's own object is."""
    graph = """
    stages: {{data: {{cmd: "mkdir -p rows; echo {word} > rows/new; echo same > rows/same; seq {word} > rows/b",
                     outs: [rows]}}}}"""
    project = toy_project(tmp_path / "folders", graph.format(word=1))
    remote = Path(dvc_remote.ensure_remote(project)["url"])
    made = {}
    for word in (1, 2, 3):
        (project / "dvc.yaml").write_text(graph.format(word=word))
        dvc(project, "repro")
        made[word] = (project / "dvc.lock").read_bytes()
        dvc(project, "push", "--run-cache")
    before = objects(remote)
    assert dvc_remote.prune_remote(project) == 0, "it is small"
    assert objects(remote) == before
    assert dvc_remote.prune_remote(project, max_bytes=0) == len(before) - 4
    assert not (remote / "runs").exists()
    assert pulled(project, tmp_path / "now") == {"new": "3\n", "same": "same\n", "b": "1\n2\n3\n"}
    (project / "dvc.yaml").write_text(graph.format(word=1))
    (project / "dvc.lock").write_bytes(made[1])
    dvc(project, "push")
    assert pulled(project, tmp_path / "then") == {"new": "1\n", "same": "same\n", "b": "1\n"}
    dvc(project, "remote", "add", "--local", "--default", "--force", "mine", "/srv")
    assert dvc_remote.prune_remote(project, max_bytes=0) == 0, "a person's remote is theirs"


def objects(remote: Path) -> set[Path]:
    return {one for one in (remote / "files").rglob("*") if one.is_file()}


def pulled(project: Path, folder: Path) -> dict[str, str]:
    """What somebody without a cache gets from the remote."""
    toy_project(folder, (project / "dvc.yaml").read_text())
    (folder / "dvc.lock").write_bytes((project / "dvc.lock").read_bytes())
    known = dvc_remote.read_remote(project)
    assert known is not None
    dvc_remote.set_remote(folder, known)
    dvc(folder, "pull")
    return {one.name: one.read_text() for one in (folder / "rows").iterdir()}
