"""The project folder when a retrain ends badly: each file is as before or as after, and the next one mends the rest."""

import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from flows.loop import backup
from flows.loop.approval import Approval
from flows.loop.loop_state import LoopState, RetrainRecord
from flows.loop.retrain import RetrainRun
from tests.support.prefect_workers import wait_until
from tests.support.projects import ENV, ROOT, command, toy_project
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.base.paths import Layout

pytestmark = pytest.mark.slow

GRAPH = "stages:\n  one: {cmd: cp data/feedback/0 out, deps: [data/feedback], outs: [out]}\n"
MANY, LIMIT = 1_000, 8_000
RUN = (
    "import sys; from pathlib import Path; from flows.loop import backup; "
    "from tierrec_core.base.paths import Layout; backup.{}(Layout(Path(sys.argv[1])), Path(sys.argv[2]))"
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project that has run, with one file of feedback."""
    project = toy_project(tmp_path / "project", GRAPH)
    (project / "data/feedback").mkdir(parents=True)
    (project / "data/feedback/0").write_text("before")
    command(project, "dvc", "repro").check_returncode()
    return Layout(project)


def state(layout: Layout) -> dict[str, bytes]:
    root = layout.root
    files = [root / "params.yaml", root / "dvc.lock", root / "out", *(root / "data/feedback").iterdir()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files if path.exists()}


def change(layout: Layout) -> None:
    """As a retrain does it: feedback, params, the stages."""
    (layout.root / "data/feedback/0").write_text("after")
    (layout.root / "data/feedback/new").write_text("after")
    with layout.params.open("a") as params:
        params.write("# after\n")
    command(layout.root, "dvc", "repro").check_returncode()


def killed(layout: Layout, key: str) -> Path:
    """A retrain that was killed after its stages had run; its copy of what was before."""
    kept = layout.loop / "retrains" / f"{key}-before"
    backup.save_backup(layout, kept)
    LoopState(layout).update_retrain(
        RetrainRecord(key=key, reason="drift", attempts=1, began="2024-01-05T00:00:00+00:00")
    )
    change(layout)
    return kept


def test_bringing_back_may_be_killed_and_done_again(layout: Layout, tmp_path: Path) -> None:
    feedback = layout.root / "data/feedback"
    for number in range(MANY):
        (feedback / str(number)).write_text("before")
    command(layout.root, "dvc", "repro").check_returncode()
    before, kept = state(layout), tmp_path / "kept"
    backup.save_backup(layout, kept)
    change(layout)
    for number in range(MANY):
        (feedback / str(number)).write_text("after")
    after = state(layout)
    with subprocess.Popen(
        [sys.executable, "-c", RUN.format("restore_backup"), str(layout.root), str(kept)], cwd=ROOT, env=ENV
    ) as run:
        wait_until(lambda: state(layout) != after, "the first file")
        run.send_signal(signal.SIGKILL)
    midway = state(layout)
    assert midway != before
    own = {name: found for name, found in midway.items() if not Path(name).name.startswith(".")}
    assert all(found in (before.get(name), after.get(name)) for name, found in own.items())
    backup.restore_backup(layout, kept)
    assert state(layout) == before
    assert "up to date" in command(layout.root, "dvc", "status").stdout


def test_a_full_disk_leaves_no_half_copy_and_no_half_file(layout: Layout, tmp_path: Path) -> None:
    big = b"# long\n" * LIMIT
    layout.params.write_bytes(layout.params.read_bytes() + big)
    whole, kept = state(layout), tmp_path / "kept"

    def run(function: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", RUN.format(function), str(layout.root), str(kept)],
            cwd=ROOT,
            env=ENV,
            capture_output=True,
            text=True,
            preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (LIMIT, LIMIT)),
        )
        assert done.returncode == 1
        return done.stderr

    assert "cannot be written (File too large)" in run("save_backup")
    assert list(tmp_path.iterdir()) == [layout.root]
    backup.save_backup(layout, kept)
    layout.params.write_bytes(layout.params.read_bytes() + b"# after\n")
    changed = state(layout)
    assert "cannot be written (File too large)" in run("restore_backup")
    assert state(layout) in (changed, whole)
    assert state(layout)["params.yaml"] == changed["params.yaml"]
    backup.restore_backup(layout, kept)
    assert state(layout) == whole


def test_another_retrain_begins_where_the_killed_one_began(layout: Layout) -> None:
    before, loop_state = state(layout), LoopState(layout)
    kept = killed(layout, "first")
    assert state(layout) != before
    (layout.root / ".dvc/tmp/rwlock").write_text('{"write": {"/a')  # as a kill leaves it that comes while DVC writes it
    begun = RetrainRun(layout, loop_state).begin(RetrainRecord(key="second", reason="asked"))
    assert (begun.state, begun.attempts) == ("training", 1)
    assert state(layout) == before
    assert not kept.exists()
    first = loop_state.find_retrain("first")
    assert first is not None
    assert (first.state, first.error) == ("failed", "it was killed before second started")


def test_a_retrain_that_goes_on_after_its_own_kill_keeps_what_it_has_done(layout: Layout) -> None:
    killed(layout, "first")
    after = state(layout)
    assert RetrainRun(layout, LoopState(layout)).begin(RetrainRecord(key="first", reason="drift")).attempts == 2
    assert state(layout) == after


def test_what_a_person_changes_after_a_failure_stays(layout: Layout) -> None:
    layout.params.write_text(layout.params.read_text() + "unknown: 1\n")
    before, work = state(layout), RetrainRun(layout, LoopState(layout))
    for attempt in (1, 2):
        begun = work.begin(RetrainRecord(key="first", reason="drift"))
        with pytest.raises(SettingsError, match="unknown"):
            work.train(begun)
        assert state(layout) == before
        failed = work.state.find_retrain("first")
        assert failed is not None
        assert (failed.state, failed.attempts) == ("failed", attempt)
        layout.params.write_text(layout.params.read_text() + "# a person was here\n")
        before = state(layout)


def test_who_comes_second_finds_it_done(layout: Layout) -> None:
    killed(layout, "first")
    work, changed = RetrainRun(layout, LoopState(layout)), state(layout)
    packaged = work.state.update_retrain(
        RetrainRecord(key="first", reason="drift"), state="packaged", challenger="tierrec:1"
    )
    ended = work.state.update_retrain(packaged, state="deployed")
    for word in (Approval(approved=True), Approval(approved=False, reason="no")):
        assert work.release(packaged, word) == ended
    assert state(layout) == changed


def test_a_damaged_record_is_told(layout: Layout) -> None:
    path = layout.loop / "retrains" / "first.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"key": "fir')
    with pytest.raises(ArtifactError, match=r"first\.json: cannot be read"):
        RetrainRun(layout, LoopState(layout)).begin(RetrainRecord(key="second", reason="drift"))
