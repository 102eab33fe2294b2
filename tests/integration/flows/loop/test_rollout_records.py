"""Holds, decisions and release records: what commands write, what they say, and what a person reads later."""

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from flows.loop.loop_state import LoopState
from flows.project.release_log import (
    ReleaseRecord,
    find_release,
    list_releases,
    note_release,
    release_path,
    release_ref,
    write_release,
)
from tests.support.commands import tierrec
from tests.support.projects import command, toy_project
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.base.paths import Layout

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
TAG, MODEL = "shop:1f2e3d", "shop-bundle:aa11"
JUDGED = """
stages:
  evaluate:
    cmd: echo '{"next":{"blend":{"ndcg@10":0.5}}}' > data/evaluation/metrics.json
    params: [seed]
    metrics: [data/evaluation/metrics.json: {cache: false}]
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A project whose only stage has run, with what `package` would have written of a Bento; tests copy it."""
    made = Layout(toy_project(tmp_path_factory.mktemp("judged") / "project", JUDGED))
    made.metrics.parent.mkdir(parents=True)
    command(made.root, "dvc", "repro").check_returncode()
    package(made, TAG)
    return made


@pytest.fixture
def layout(judged: Layout, tmp_path: Path) -> Layout:
    """A copy of the judged project."""
    return Layout(Path(shutil.copytree(judged.root, tmp_path / "project", symlinks=True)))


def package(layout: Layout, tag: str) -> None:
    smoke = {"next": {"users": 3, "identical": 3}}
    labels = {"next.ndcg@10": "0.5000", "params": "0123"}
    artifacts.write_json({"tag": tag, "model": MODEL, "labels": labels, "smoke": smoke}, layout.bento)


@pytest.fixture(name="tierrec")
def _tierrec(layout: Layout) -> Callable[..., str]:
    return partial(tierrec, folder=layout.root)


def git(layout: Layout, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=layout.root, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_hold_is_kept_with_its_moment_until_it_is_let_go(layout: Layout, tierrec: Callable[..., str]) -> None:
    loop = LoopState(layout)
    assert loop.read_hold() is None
    assert tierrec("hold", "--off") == "the loop was not held\n"
    assert "held since 20" in tierrec("hold", "--reason", "stocktaking")
    first = loop.read_hold()
    assert first is not None
    assert str(first).endswith(": stocktaking")
    again = loop.hold("and a sale", NOW + timedelta(days=999))
    assert (again.at, again.reason) == (first.at, "and a sale")
    assert "it was held since 20" in tierrec("hold", "--off")
    assert loop.read_hold() is None
    (layout.loop / "hold.json").write_text('{"until": "friday"}')
    with pytest.raises(SettingsError, match="hold"):
        loop.read_hold()


def test_decisions_are_shown_in_words_and_as_they_were_kept(layout: Layout, tierrec: Callable[..., str]) -> None:
    assert tierrec("decisions") == "no decisions yet; `tierrec monitor` makes one\n"
    for day, act in ((20_000, "none"), (20_028, "retrain")):
        record = {"window_end": float(day), "act": act, "state": "drift", "model": MODEL, "key": f"k{day}"}
        record |= {"at": NOW.isoformat(), "reasons": ["BEEF 4% -> 7%", "heavy: volume"]}
        artifacts.write_json(record, layout.loop / "decisions" / f"{day}.json")
    shown = tierrec("decisions")
    assert shown.index("2024-10-04") < shown.index("2024-11-01")  # days 20,000 and 20,028 since 1970
    assert "BEEF" in shown
    kept = json.loads(tierrec("decisions", "--limit", "1", "--json"))
    assert [one["key"] for one in kept] == ["k20028"]


def test_a_release_is_written_down_with_the_revision_that_made_it(layout: Layout) -> None:
    (layout.root / ".gitignore").write_text("/data/**\n")  # metrics.json is wanted all the same
    path = write_release(layout, TAG, reason="drift", gate="data/loop/gates/one.json")
    record = json.loads(path.read_text())
    assert path == layout.loop / "releases" / "shop-1f2e3d.json"
    assert git(layout, "rev-parse", release_ref(TAG)) == record["revision"]
    held = git(layout, "ls-tree", "-r", "--name-only", record["revision"]).splitlines()
    assert {"params.yaml", "dvc.yaml", "dvc.lock", "data/evaluation/metrics.json"} <= set(held)
    assert "data/package/bento.json" not in held
    assert record["metrics"] == {"sha256": artifacts.sha256(layout.metrics), "headline": {"next.ndcg@10": "0.5000"}}
    wanted = {"tag": TAG, "model": MODEL, "reason": "drift", "state": "released", "stale": []}
    assert wanted.items() <= record.items()
    assert (record["gate"], record["feedback"]) == ("data/loop/gates/one.json", True)
    assert datetime.fromisoformat(record["at"]).tzinfo is not None


def test_a_release_written_down_twice_is_the_first_one(layout: Layout) -> None:
    before = write_release(layout, TAG, reason="drift", gate=None).read_bytes()
    layout.params.write_text(layout.params.read_text() + "# later\n")
    assert write_release(layout, TAG, reason="again", gate=None).read_bytes() == before


def test_outputs_that_are_not_of_the_revision_are_told(layout: Layout) -> None:
    layout.params.write_text(layout.params.read_text().replace("seed: 7", "seed: 8"))
    assert ReleaseRecord.read(write_release(layout, TAG, reason="drift", gate=None)).stale == ("evaluate",)


def test_a_bento_that_other_files_made_has_no_revision_until_it_is_packaged(layout: Layout) -> None:
    other = "shop:000000"
    known = ReleaseRecord.read(write_release(layout, other, reason="an old one", gate=None))
    assert known.revision is None
    assert "other files produced it" in known.unrecorded
    package(layout, other)
    known = ReleaseRecord.read(write_release(layout, other, reason="again", gate=None))
    assert known.revision == git(layout, "rev-parse", release_ref(other))


def test_a_project_without_git_releases_and_says_why_that_cannot_be_made_again(layout: Layout) -> None:
    (layout.root / ".git").rename(layout.root.parent / "git")
    command(layout.root, "dvc", "config", "core.no_scm", "true").check_returncode()
    known = ReleaseRecord.read(write_release(layout, TAG, reason="drift", gate=None))
    assert known.revision is None
    assert "`git init`" in known.unrecorded


def test_what_became_of_a_release_is_added(layout: Layout) -> None:
    write_release(layout, TAG, reason="drift", gate=None)
    note_release(layout, TAG, state="promoted", reason="better")
    note_release(layout, TAG, state="rolled back", reason="a person")
    known = ReleaseRecord.read(release_path(layout, TAG))
    assert (known.state, known.reason) == ("rolled back", "drift")
    assert [(one.state, one.reason) for one in known.changes] == [("promoted", "better"), ("rolled back", "a person")]
    note_release(layout, "shop:999", state="promoted", reason="better")
    assert [one.tag for one in list_releases(layout)] == [TAG, "shop:999"]


def test_a_release_is_found_by_how_its_tag_or_version_begins(layout: Layout) -> None:
    for tag in (TAG, "shop:1faaaa", "shop:1f"):
        write_release(layout, tag, reason="drift", gate=None)
    for name in (TAG, "1f2e3d", "1f2", "shop:1f2"):
        assert find_release(layout, name).tag == TAG
    assert find_release(layout, "shop:1f").tag == "shop:1f"  # a whole tag means itself
    for name, said in (("1f", "matches 3 releases"), ("9", "no release matches '9'"), ("", "no release matches ''")):
        with pytest.raises(ArtifactError, match=said) as error:
            find_release(layout, name)
        assert TAG in str(error.value)
