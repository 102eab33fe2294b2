"""The records of the loop, and the project's backup."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.loop import backup
from flows.loop.loop_state import MAX_ATTEMPTS, LoopState, RetrainRecord
from monitoring.drift import CanaryResult, DriftDecision, DriftVerdict, RetrainValue
from tests.support.projects import command, toy_project
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.evaluation.bootstrap import ConfidenceInterval

STEADY = DriftVerdict(start=19_700.0, end=19_728.0, num_users=3, findings=(), faults=())


def decision(act: Any, key: str, end: float = 19_728.0) -> DriftDecision:
    return DriftDecision(datetime(2024, 1, 5, tzinfo=UTC).isoformat(), end, act, ("because",), "model:1", key)


def test_decisions_survive_disk_in_order(tmp_path: Path) -> None:
    loop = LoopState(Layout(tmp_path))
    canary = CanaryResult(19_690.0, 19_693.0, 19_700.0, ConfidenceInterval(0.1, 0.0, 0.2), 60, cpu_seconds=1.5)
    unknown = RetrainValue.of(CanaryResult(19_690.0, 19_721.0, 19_728.0, reason="few users"), [canary], 0.018)
    made = [
        replace(decision("none", "a", 19_700.0), value=RetrainValue.of(canary, [], 0.018)),
        replace(decision("retrain", "b", 19_728.0), value=unknown),
        decision("none", "c", 19_729.0),
    ]
    for made_later in reversed(made):
        loop.record_decision(made_later, STEADY, None)
    assert loop.drift_decisions() == made
    assert loop.decisions[0]["value"]["canary"]["cpu_seconds"] == 1.5


def test_a_decision_of_a_version_that_stored_other_fields_is_read(tmp_path: Path) -> None:
    loop = LoopState(Layout(tmp_path))
    canary = CanaryResult(19_690.0, 19_693.0, 19_728.0, ConfidenceInterval(0.1, 0.0, 0.2), 60)
    value = RetrainValue.of(canary, [], 0.018, 19_700.0)
    made = replace(decision("none", "a"), value=value)
    loop.record_decision(made, STEADY, None)
    assert loop.drift_decisions() == [made]
    (path,) = (tmp_path / "data/loop/decisions").glob("*.json")
    record = artifacts.read_json(path)
    del record["value"]["retrained"]
    record["value"]["canary"]["retrain_cut"] = 19_693.0
    artifacts.write_json(record, path)
    (old,) = loop.drift_decisions()
    assert old.value == replace(value, retrained=None)


def test_a_decision_of_a_version_without_a_canary_is_read(tmp_path: Path) -> None:
    loop = LoopState(Layout(tmp_path))
    loop.record_decision(decision("none", "a"), STEADY, None)
    (path,) = (tmp_path / "data/loop/decisions").glob("*.json")
    artifacts.write_json({key: part for key, part in artifacts.read_json(path).items() if key != "value"}, path)
    assert loop.drift_decisions() == [decision("none", "a")]


@pytest.mark.parametrize(
    ("state", "attempts", "is_pending"),
    [
        ("training", 1, True),
        ("packaged", 1, True),
        ("failed", 1, True),
        ("failed", MAX_ATTEMPTS, False),
        ("deployed", 1, False),
        ("rejected", 1, False),
        ("vetoed", 1, False),
        ("unchanged", 1, False),
    ],
)
def test_a_decision_is_pending_until_its_retrain_is_over(
    tmp_path: Path, state: Any, attempts: int, is_pending: bool
) -> None:
    loop = LoopState(Layout(tmp_path))
    loop.record_decision(decision("retrain", "a"), STEADY, None)
    pending = loop.pending_decision()
    assert pending is not None
    assert pending["key"] == "a"
    loop.update_retrain(RetrainRecord(key="a", reason="drift"), state=state, attempts=attempts)
    assert (loop.pending_decision() is not None) is is_pending
    if state == "packaged":
        assert loop.pending_decision(approval_required=True) is None


def test_nothing_is_pending_where_nothing_drifted(tmp_path: Path) -> None:
    loop = LoopState(Layout(tmp_path))
    for act in ("none", "wait", "fault", "held"):
        loop.record_decision(decision(act, act), STEADY, None)
    assert loop.pending_decision() is None


def test_a_backup_restores_params_feedback_and_outputs(tmp_path: Path) -> None:
    project = toy_project(
        tmp_path / "project", "stages:\n  one: {cmd: cp data/feedback/x out, deps: [data/feedback], outs: [out]}\n"
    )
    feedback = project / "data" / "feedback"
    feedback.mkdir(parents=True)
    (feedback / "x").write_text("before")
    command(project, "dvc", "repro").check_returncode()
    layout, kept = Layout(project), tmp_path / "kept"
    before = {name: (project / name).read_bytes() for name in ("params.yaml", "dvc.lock", "out")}
    backup.save_backup(layout, kept)
    (feedback / "x").write_text("after")
    (feedback / "y").write_text("new")
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + "# changed\n")
    command(project, "dvc", "repro").check_returncode()
    assert (project / "out").read_text() == "after"
    backup.save_backup(layout, kept)  # a retrain that resumes after a kill
    backup.restore_backup(layout, kept)
    assert {name: (project / name).read_bytes() for name in before} == before
    assert [path.name for path in feedback.iterdir()] == ["x"]
    assert "up to date" in command(project, "dvc", "status").stdout
