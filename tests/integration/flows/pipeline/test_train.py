"""The bridge on toy graphs of shell stages, whose right order and outcome are plain to see."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.graph.dvc_graph import StageGraph, StageRunner, TransientStageError, find_stale_stages
from tests.support.projects import command, migrate_prefect, toy_project
from tierrec_core.base.errors import StageError

DIAMOND = """
stages:
  top: {cmd: "echo seed > top.txt", outs: [top.txt]}
  left:
    cmd: "date +%s.%N > left.began; sleep 3; cp top.txt left.txt; date +%s.%N > left.ended"
    deps: [top.txt]
    outs: [left.txt]
  right:
    cmd: "date +%s.%N > right.began; sleep 3; cp top.txt right.txt; date +%s.%N > right.ended"
    deps: [top.txt]
    outs: [right.txt]
  bottom: {cmd: "cat left.txt right.txt > bottom.txt", deps: [left.txt, right.txt], outs: [bottom.txt]}
"""
FAILING = """
stages:
  first: {cmd: "echo one > one.txt", outs: [one.txt]}
  bad: {cmd: "echo working; echo 'error: data/x.csv: is empty' >&2; exit 2", deps: [one.txt], outs: [two.txt]}
  after: {cmd: "cp two.txt three.txt", deps: [two.txt], outs: [three.txt]}
"""


def heard(_stage: str, _line: str) -> None: ...


@pytest.mark.slow
def test_flow_and_plain_dvc_write_the_same_lock_and_siblings_overlap(tmp_path: Path) -> None:
    flow, plain = toy_project(tmp_path / "flow", DIAMOND), toy_project(tmp_path / "plain", DIAMOND)
    migrate_prefect(flow / ".prefect")
    ran = command(flow, "tierrec", "run")
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    command(plain, "dvc", "repro").check_returncode()
    locks = [YAML(typ="safe").load((project / "dvc.lock").read_text()) for project in (flow, plain)]
    assert locks[0] == locks[1]  # the order of entries is the order in which stages ended
    assert set(locks[0]["stages"]) == {"top", "left", "right", "bottom"}
    began, ended = (
        {side: float((flow / f"{side}.{when}").read_text()) for side in ("left", "right")}
        for when in ("began", "ended")
    )
    assert max(began.values()) < min(ended.values())
    again = command(flow, "tierrec", "run")
    assert again.returncode == 0
    last = json.loads(max((flow / "data" / "runs").glob("*.json")).read_text())
    assert last["stages"] == {}


def test_failure_carries_the_stages_own_words_and_what_is_behind_it_does_not_run(tmp_path: Path) -> None:
    project = toy_project(tmp_path, FAILING)
    migrate_prefect(project / ".prefect")
    ran = command(project, "tierrec", "run")
    assert ran.returncode == 2
    assert "error: bad: data/x.csv: is empty" in ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    assert (project / "one.txt").exists()
    assert not (project / "three.txt").exists()


def test_graph_knows_what_hangs_on_a_stage(tmp_path: Path) -> None:
    graph = StageGraph.read(toy_project(tmp_path, DIAMOND))
    assert graph.ancestors("bottom") == {"top", "left", "right"}
    assert graph.affected({"left"}) == ["left", "bottom"]
    assert find_stale_stages(tmp_path) == {"top", "left", "right", "bottom"}


def test_stopped_runner_begins_nothing(tmp_path: Path) -> None:
    runner = StageRunner(toy_project(tmp_path, DIAMOND), heard)
    runner.stop()
    with pytest.raises(StageError, match="stopped"):
        runner.run("top")


def test_stage_killed_by_a_signal_is_transient(tmp_path: Path) -> None:
    project = toy_project(tmp_path, 'stages: {dies: {cmd: "kill -9 $$", outs: [x.txt]}}')
    with pytest.raises(TransientStageError, match="dies: killed"):
        StageRunner(project, heard).run("dies")
