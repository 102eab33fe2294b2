"""The working tree as a commit beside the branches, told from git's own plumbing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.project import snapshots
from flows.project.git import RevisionError
from flows.project.params import replace_sections
from tests.support.projects import ROOT

REF = "refs/tierrec/releases/shop-1"
LONELY = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, env=os.environ | LONELY)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def state(folder: Path) -> tuple[str, ...]:
    """Everything that a person would notice: branch, index, stash, and what git says of the files."""
    questions = (("symbolic-ref", "HEAD"), ("for-each-ref", "refs/heads"), ("ls-files", "--stage"), ("status", "-s"))
    return tuple(git(folder, *question) for question in questions)


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which git knows nobody, as in a container."""
    for name, value in LONELY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    for role in ("AUTHOR", "COMMITTER"):
        for field in ("NAME", "EMAIL"):
            monkeypatch.delenv(f"GIT_{role}_{field}", raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """One commit; one staged, one changed, one new, one ignored and one deleted file."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / ".gitignore").write_text("*.log\n")
    for name in ("kept", "changed", "deleted"):
        (root / name).write_text(f"{name} 1\n")
    git(root, "add", "-A")
    git(root, "-c", "user.name=ann", "-c", "user.email=a@b", "commit", "-qm", "first")
    (root / "changed").write_text("changed 2\n")
    (root / "staged").write_text("staged\n")
    git(root, "add", "staged")
    (root / "new file").write_text("new\n")
    (root / "noise.log").write_text("noise\n")
    (root / "deleted").unlink()
    return root


def files(root: Path, revision: str) -> dict[str, str]:
    names = git(root, "ls-tree", "-rz", "--name-only", revision).split("\0")
    return {name: git(root, "show", f"{revision}:{name}") for name in names if name}


def test_the_commit_holds_the_folder_as_it_is_and_nobody_notices(project: Path) -> None:
    before = state(project)
    commit = snapshots.record_snapshot(project, "release shop:1", REF)
    assert state(project) == before
    assert files(project, commit) == {
        ".gitignore": "*.log",
        "changed": "changed 2",
        "kept": "kept 1",
        "new file": "new",
        "staged": "staged",
    }
    assert git(project, "rev-parse", REF) == commit
    assert git(project, "rev-parse", f"{commit}^") == git(project, "rev-parse", "HEAD")
    assert git(project, "log", "-1", "--format=%an %cn %s", commit) == "tierrec tierrec release shop:1"


def test_the_same_files_are_the_same_commit_and_others_are_another(project: Path) -> None:
    first = snapshots.record_snapshot(project, "one", REF)
    assert snapshots.record_snapshot(project, "two", REF) == first
    (project / "kept").write_text("kept 2\n")
    second = snapshots.record_snapshot(project, "three", REF)
    assert second != first
    assert git(project, "show", f"{second}:kept") == "kept 2"
    assert git(project, "rev-parse", REF) == second


def test_a_file_changed_as_soon_as_it_was_committed_is_held_as_it_is_now(project: Path) -> None:
    """Git must read it: size and time are those of the index, and a file system's times are coarse."""
    git(project, "config", "core.trustctime", "false")
    now = 1_700_000_000
    os.utime(project / "kept", (now, now))
    git(project, "add", "kept")
    os.utime(project / ".git" / "index", (now, now))
    (project / "kept").write_text("kept 2\n")
    os.utime(project / "kept", (now, now))
    commit = snapshots.record_snapshot(project, "one", REF)
    assert files(project, commit)["kept"] == "kept 2"


def test_an_ignored_file_is_held_where_it_is_wanted(project: Path) -> None:
    before = state(project)
    commit = snapshots.record_snapshot(project, "release", REF, also=["noise.log", "missing.log"])
    assert files(project, commit)["noise.log"] == "noise"
    assert "noise.log" not in files(project, snapshots.record_snapshot(project, "release", f"{REF}-plain"))
    assert state(project) == before


def test_a_persons_own_name_is_kept(project: Path) -> None:
    git(project, "config", "user.name", "Ann")
    git(project, "config", "user.email", "ann@example.org")
    commit = snapshots.record_snapshot(project, "release", REF)
    assert git(project, "log", "-1", "--format=%an <%ae>", commit) == "Ann <ann@example.org>"


def test_a_repository_without_a_commit_gets_one_without_a_parent(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "file").write_text("x")
    commit = snapshots.record_snapshot(tmp_path, "release", REF)
    assert files(tmp_path, commit) == {"file": "x"}
    assert git(tmp_path, "log", "--format=%P", commit) == ""
    assert git(tmp_path, "for-each-ref", "refs/heads") == ""


def test_what_services_and_people_keep_in_a_project_is_left_out_even_without_a_gitignore(project: Path) -> None:
    state_files = ("data/serving/feedback.db", "data/serving/keys.json", ".prefect/prefect.db", "data/loop/x.json")
    for name in (*state_files, "data/serving/rules.yaml", "data/evaluation/metrics.json"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    found = files(project, snapshots.record_snapshot(project, "release", REF))
    assert not set(state_files) & set(found)
    assert {"data/serving/rules.yaml", "data/evaluation/metrics.json"} <= set(found)


def test_a_project_below_the_top_of_a_repository_is_recorded_with_what_lies_beside_it(project: Path) -> None:
    shop = project / "shops" / "one"
    (shop / "data" / "loop").mkdir(parents=True)
    (shop / "params.yaml").write_text("seed: 7\n")
    (shop / "data" / "loop" / "hold.json").write_text("{}")
    commit = snapshots.record_snapshot(shop, "release", REF)
    found = files(project, commit)
    assert found["shops/one/params.yaml"] == "seed: 7"
    assert "shops/one/data/loop/hold.json" not in found
    assert found["changed"] == "changed 1"  # beside the project: as git has it
    there = snapshots.check_out_snapshot(shop, commit, project.parent / "out")
    assert (there / "params.yaml").read_text() == "seed: 7\n"
    assert there.relative_to(project.parent / "out") == Path("shops/one")


def test_variables_of_a_git_hook_do_not_lead_astray(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    commit = snapshots.record_snapshot(project, "release", REF)
    monkeypatch.undo()
    assert git(project, "rev-parse", REF) == commit


def test_a_checkout_of_its_own_leaves_no_trace_and_changes_nothing(project: Path, tmp_path: Path) -> None:
    commit = snapshots.record_snapshot(project, "release", REF)
    (project / "kept").write_text("kept 2\n")
    before = state(project)
    folder = snapshots.check_out_snapshot(project, commit, tmp_path / "out")
    assert (folder / "kept").read_text() == "kept 1\n"
    assert git(folder, "status", "--porcelain") == ""
    git(folder, "-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "mine", "--allow-empty")
    assert state(project) == before
    assert git(project, "worktree", "list").count("\n") == 0


def test_a_ref_travels_to_a_remote_and_from_there_into_another_clone(project: Path, tmp_path: Path) -> None:
    remote, clone = tmp_path / "remote.git", tmp_path / "clone"
    git(tmp_path, "init", "-q", "--bare", str(remote))
    git(project, "remote", "add", "origin", str(remote))
    git(project, "push", "-q", "origin", "main")
    first = snapshots.record_snapshot(project, "release", REF)
    snapshots.push_snapshot(project, "origin", REF)
    git(tmp_path, "clone", "-q", "-b", "main", str(remote), str(clone))
    assert snapshots.fetch_snapshot(clone, "origin", REF) == first
    (project / "kept").write_text("kept 2\n")
    second = snapshots.record_snapshot(project, "release", REF)
    snapshots.push_snapshot(project, str(remote), REF)
    assert snapshots.fetch_snapshot(clone, str(remote), REF) == second
    assert git(remote, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags") == "refs/heads/main"


def test_errors_say_what_to_do(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RevisionError, match="`git init`"):
        snapshots.record_snapshot(tmp_path, "release", REF)
    with pytest.raises(RevisionError, match="has no commit 0123456789ab; fetch it"):
        snapshots.check_out_snapshot(project, "0123456789abcdef0123456789abcdef01234567", tmp_path / "out")
    with pytest.raises(RevisionError, match=r"`git push` failed: .*nowhere"):
        snapshots.push_snapshot(project, "nowhere", REF)
    with pytest.raises(RevisionError, match="is not a folder"):
        snapshots.record_snapshot(tmp_path / "missing", "release", REF)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RevisionError, match="install git"):
        snapshots.record_snapshot(project, "release", REF)


def test_files_of_the_source_stay_out_and_a_log_that_git_has_stays_in(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    root.mkdir()
    git(root, "init", "-q")
    names = ["logs/a.csv", "logs/b #1 [new].csv", "goods!.csv", "users.csv", "notes.csv", "logs/deep/c.csv", "kept.csv"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    git(root, "add", "kept.csv")
    git(root, "-c", "user.name=ann", "-c", "user.email=a@b", "commit", "-qm", "a log of the shop's own choice")
    shutil.copy(ROOT / "params.yaml", root)
    paths = ["logs/**/*.csv", "kept.csv", str(tmp_path / "elsewhere.csv")]
    source = {"kind": "files", "paths": paths, "items_path": "./goods!.csv", "users_path": "users.csv"}
    replace_sections(root / "params.yaml", {"source": source})
    commit = snapshots.record_snapshot(root, "release", REF)
    assert set(files(root, commit)) == {"kept.csv", "notes.csv", "params.yaml"}
    (root / "goods!.csv").rename(root / "goods.csv")
    assert set(files(root, snapshots.record_snapshot(root, "release", REF))) == {
        *("kept.csv", "notes.csv", "params.yaml", "goods.csv")
    }
