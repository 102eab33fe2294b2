"""`tierrec reproduce`: a release made again from its revision, whatever has become of the project since."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from flows.project.release_log import ReleaseMetrics, ReleaseRecord, release_path, release_ref, write_release
from flows.project.snapshots import record_snapshot
from tests.support.projects import ENV, command, synthetic_project, toy_project
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout

CLI = """
import sys
from flows.cli.loop import app
from tierrec_core.base.errors import TierRecError
try:
    app()
except TierRecError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
"""
TAG = "shop:1f2e3d"
BOOTSTRAP = "tierrec_core/evaluation/bootstrap.py"
TOY = """
stages:
  ingest:
    cmd: echo ran >> {log}; mkdir -p data/raw; echo rows > data/raw/events.parquet
    outs: [data/raw/events.parquet]
  score:
    cmd: {score}
    deps: [data/raw/events.parquet]
    outs: [score.txt]
  evaluate:
    cmd: mkdir -p data/evaluation; echo "{{\\"next\\":{{\\"ndcg\\":$(cat score.txt)}}}}" > data/evaluation/metrics.json
    deps: [score.txt]
    metrics: [data/evaluation/metrics.json: {{cache: false}}]
  behind: {{cmd: exit 9, deps: [score.txt], outs: [behind.txt]}}
"""


def reproduce(root: Path, *arguments: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in the project, with a folder for temporary files that the test can look into."""
    scratch.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", CLI, "reproduce", *arguments],
        cwd=root,
        env=ENV | {"TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=500,
    )


def remembered(root: Path) -> tuple[object, ...]:
    """What git and DVC keep of a project: refs, files as git sees them, the lock, the cache."""
    asked = [
        subprocess.run(["git", *question], cwd=root, capture_output=True, text=True).stdout
        for question in (["for-each-ref"], ["status", "--porcelain"], ["worktree", "list"])
    ]
    cache = sorted(str(path) for path in (root / ".dvc" / "cache").rglob("*"))
    return (*asked, (root / "dvc.lock").read_bytes(), cache)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.slow
def test_a_release_is_made_again_byte_for_byte_by_its_own_code_and_params(tmp_path: Path) -> None:
    layout = Layout(synthetic_project(tmp_path / "project"))
    edit(layout.root / BOOTSTRAP, "_DIGITS = 6", "_DIGITS = 5")  # neither the installed code nor that of later
    ran = command(layout.root, "dvc", "repro", "package", timeout=900)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    tag = artifacts.read_json(layout.bento)["tag"]
    write_release(layout, tag, reason="drift", gate=None)
    judged = layout.metrics.read_bytes()
    edit(layout.root / BOOTSTRAP, "_DIGITS = 5", "_DIGITS = 2")
    edit(layout.params, "seed: 7", "seed: 8")
    layout.metrics.unlink()
    before = remembered(layout.root)
    scratch, kept = tmp_path / "scratch", tmp_path / "kept"
    done = reproduce(layout.root, tag.partition(":")[2], "--package", "--keep", str(kept), scratch=scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reproduced: metrics.json is identical" in done.stdout
    assert (kept / "data" / "evaluation" / "metrics.json").read_bytes() == judged
    assert artifacts.read_json(Layout(kept).bento)["tag"] == tag
    assert remembered(layout.root) == before
    assert list(scratch.iterdir()) == []


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """Where the command works; afterwards nothing of it may be left."""
    folder = tmp_path / "scratch"
    yield folder
    assert [path.name for path in folder.iterdir()] == []


def toy(folder: Path, score: str, *, feedback: bool = False, source: str = "synthetic") -> Layout:
    """A released project of shell stages; outside of it, a log of how often ingest ran."""
    layout = Layout(toy_project(folder / "project", TOY.format(log=folder / "ingested", score=score)))
    yaml = YAML()
    params = yaml.load(layout.params.read_text())
    files = {"paths": ["log.csv"]} if source == "files" else {}
    params["source"] = {"kind": source, "feedback": feedback} | files
    with layout.params.open("w") as stream:
        yaml.dump(params, stream)
    command(layout.root, "dvc", "repro", "evaluate").check_returncode()
    revision = record_snapshot(layout.root, "release", release_ref(TAG))
    written = ReleaseRecord(
        tag=TAG,
        model="shop-bundle:1",
        at="2026-01-01T00:00:00+00:00",
        revision=revision,
        reason="drift",
        gate=None,
        metrics=ReleaseMetrics(sha256=artifacts.sha256(layout.metrics)),
        feedback=feedback,
    )
    artifacts.write_json(written.model_dump(mode="json"), release_path(layout, TAG))
    return layout


def times_ingested(layout: Layout) -> int:
    return (layout.root.parent / "ingested").read_text().count("ran")


@pytest.mark.slow
def test_every_stage_before_the_judgement_runs_although_nothing_has_changed(tmp_path: Path, scratch: Path) -> None:
    layout = toy(tmp_path, f"echo ran >> {tmp_path / 'scored'}; echo 0.5 > score.txt")
    done = reproduce(layout.root, "1f2e", scratch=scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    assert times_ingested(layout) == 2
    assert (tmp_path / "scored").read_text() == "ran\nran\n"
    assert "behind" not in done.stdout


@pytest.mark.parametrize(("source", "feedback"), [("synthetic", True), ("files", False)])
@pytest.mark.slow
def test_rows_that_no_revision_holds_come_from_the_cache_or_the_remote(
    tmp_path: Path, scratch: Path, source: str, feedback: bool
) -> None:
    layout = toy(tmp_path, "echo 0.5 > score.txt", source=source, feedback=feedback)
    (layout.root / "data" / "raw" / "events.parquet").unlink()
    done = reproduce(layout.root, TAG, scratch=scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    assert times_ingested(layout) == 1
    remote = ["dvc", "remote", "add", "--local", "-d", "shared", str(tmp_path / "remote")]
    command(layout.root, *remote).check_returncode()
    command(layout.root, "dvc", "push").check_returncode()
    for path in (layout.root / ".dvc" / "cache").glob("files/md5/*/*"):
        path.unlink()
    done = reproduce(layout.root, TAG, scratch=scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    command(layout.root, "dvc", "remote", "remove", "--local", "shared").check_returncode()
    for path in (layout.root / ".dvc" / "cache").glob("files/md5/*/*"):
        path.unlink()
    lost = reproduce(layout.root, TAG, scratch=scratch)
    assert lost.returncode == 2
    assert "the raw frames of the release are neither in" in lost.stderr


@pytest.mark.slow
def test_what_differs_is_named_and_the_command_fails(tmp_path: Path, scratch: Path) -> None:
    pin = "numpy==1.0"
    counted = f"echo x >> {tmp_path / 'count'}; wc -l < {tmp_path / 'count'} > score.txt"
    layout = toy(tmp_path, counted)
    (layout.root / "constraints.txt").write_text(f"# pins\n{pin}\n")
    written = ReleaseRecord.read(release_path(layout, TAG))
    revision = record_snapshot(layout.root, "release", release_ref(TAG))
    artifacts.write_json(
        written.model_dump(mode="json") | {"revision": revision, "stale": ["score"]}, release_path(layout, TAG)
    )
    done = reproduce(layout.root, TAG, scratch=scratch)
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "not reproduced: 1 difference next.ndcg: 2, was 1" in said
    assert "numpy is 2" in said
    assert "these stages were stale: score" in said


@pytest.mark.slow
def test_a_failing_stage_is_told_and_nothing_stays(tmp_path: Path, scratch: Path) -> None:
    once = f"test ! -e {tmp_path / 'once'} && touch {tmp_path / 'once'} && echo 0.5 > score.txt"
    done = reproduce(toy(tmp_path, once).root, TAG, scratch=scratch)
    assert done.returncode == 2
    assert "score: ended with code" in done.stderr


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path, scratch: Path) -> None:
    layout = toy(tmp_path, "echo 0.5 > score.txt")
    done = reproduce(layout.root, TAG, "--keep", str(layout.root), scratch=scratch)
    assert done.returncode == 2
    assert "exists and is not empty" in done.stderr


@pytest.mark.slow
def test_a_record_or_a_ref_that_was_changed_is_told(tmp_path: Path, scratch: Path) -> None:
    layout = toy(tmp_path, "echo 0.5 > score.txt")
    path = release_path(layout, TAG)
    written = artifacts.read_json(path)
    for change, said in (
        ({"metrics": {"sha256": "0" * 64}}, "is not the one that was recorded"),
        ({"revision": "0" * 40}, "has no commit 000000000000"),
        ({"revision": None, "unrecorded": "there was no git"}, "there was no git"),
    ):
        artifacts.write_json(written | change, path)
        done = reproduce(layout.root, TAG, scratch=scratch)
        assert done.returncode == 2
        assert said in done.stderr


@pytest.mark.parametrize("sign", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_reproduction_leaves_neither_process_nor_folder(
    tmp_path: Path, scratch: Path, sign: signal.Signals
) -> None:
    ticks, slow = tmp_path / "ticks", tmp_path / "slow"
    loop = f"while [ -e {slow} ]; do date >> {ticks}; sleep 0.1; done; echo 0.5 > score.txt"
    layout = toy(tmp_path, f'"{loop}"')
    slow.touch()
    scratch.mkdir()
    run = subprocess.Popen(
        [sys.executable, "-c", CLI, "reproduce", TAG],
        cwd=layout.root,
        env=ENV | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while not ticks.exists():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)
    run.send_signal(sign)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "stopped; nothing was changed" in said
    alive = [one for one in psutil.process_iter(["cwd"]) if (one.info["cwd"] or "").startswith(str(scratch))]
    assert [one.pid for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_the_environment_of_these_tests_would_shadow_code_that_is_not_in_the_folder(tmp_path: Path) -> None:
    """So the first test shows that a revision's own code runs: elsewhere, the installed package is imported."""
    asked = [sys.executable, "-c", "import tierrec_core; print(tierrec_core.__file__)"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, env=ENV)
    assert done.stdout.strip().startswith(str(Path(__file__).parent.parent.parent)), os.environ
