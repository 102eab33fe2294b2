"""A challenger that nobody says a word of ends as vetoed, on a real Prefect server and in a real DVC project."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.schemas.objects import StateType
from prefect.states import Completed, Failed, State, Suspended
from ruamel.yaml import YAML

from flows.loop import backup
from flows.loop.loop_state import LoopState, RetrainRecord
from flows.loop.retrain import retrain, retrain_key, unfinished_retrains, veto_expired_retrains
from flows.project.lock import project_lock
from tests.support.prefect_workers import Server, prefect_server
from tests.support.projects import command, toy_project
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings, read_settings

pytestmark = pytest.mark.slow

GRAPH = "stages:\n  one: {cmd: cp data/feedback/x out, deps: [data/feedback], outs: [out]}\n"
NOW = datetime(2026, 5, 10, 12, tzinfo=UTC)
HOURS = 6.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as running:
        yield running


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project that asks a person."""
    project = toy_project(tmp_path / "project", GRAPH)
    yaml = YAML()
    params = yaml.load((project / "params.yaml").read_text())
    params["rollout"] = {"approval": "required", "max_hours": HOURS}
    with (project / "params.yaml").open("w") as stream:
        yaml.dump(params, stream)
    (project / "data" / "feedback").mkdir(parents=True)
    (project / "data" / "feedback" / "x").write_text("before")
    command(project, "dvc", "repro").check_returncode()
    return Layout(project)


def package(layout: Layout, key: str, hours_ago: float, now: datetime = NOW) -> None:
    """What a retrain leaves behind that has asked so long ago."""
    loop_state = LoopState(layout)
    backup.save_backup(layout, layout.loop / "retrains" / f"{key}-before")
    (layout.root / "data" / "feedback" / "x").write_text(key)
    command(layout.root, "dvc", "repro").check_returncode()
    asked = (now - timedelta(hours=hours_ago)).isoformat()
    loop_state.update_retrain(
        RetrainRecord(key=key, reason="drift", champion="tierrec:old", challenger=f"tierrec:{key}"),
        state="packaged",
        began=asked,
        asked=asked,
    )


def begin_run(server: Server, key: str, state: State) -> None:
    """A run of the flow on the server, as one that the automation began."""
    with server.client() as client:
        client.create_flow_run(retrain, parameters={"decision": {"key": key}}, state=state)


def vetoed(server: Server, layout: Layout, settings: Settings | None = None) -> list[str]:
    with server.client() as client:
        found = veto_expired_retrains(layout, settings or read_settings(layout.params), NOW, client)
    return [one.key for one in found]


def states(layout: Layout) -> dict[str, str]:
    return {one.key: one.state for one in LoopState(layout).retrains()}


def test_nobodys_word_within_the_time_is_a_veto_and_the_project_is_as_before(server: Server, layout: Layout) -> None:
    package(layout, "late", HOURS + 1)
    assert (layout.root / "out").read_text() == "late"
    begin_run(server, "late", Failed(message="Paused timed out"))  # as Prefect ends a run whose question expired
    assert vetoed(server, layout) == ["late"]
    (ended,) = LoopState(layout).retrains()
    assert (ended.state, ended.error) == ("vetoed", "no answer within 6 h")
    assert ended.ended
    assert (layout.root / "out").read_text() == "before"
    assert not (layout.loop / "retrains" / "late-before").exists()
    assert vetoed(server, layout) == []


@pytest.mark.parametrize(
    "state", [Suspended(timeout_seconds=60, pause_key="approval"), State(type=StateType.SCHEDULED)]
)
def test_a_run_that_still_waits_or_has_its_answer_is_let_be(server: Server, layout: Layout, state: State) -> None:
    key = f"waits-{state.type.value}"
    package(layout, key, HOURS + 1)
    begin_run(server, key, state)
    assert vetoed(server, layout) == []
    assert states(layout) == {key: "packaged"}


def test_an_alarm_is_not_announced_again_while_its_retrain_is_scheduled_runs_or_waits(server: Server) -> None:
    for key, state in (
        ("scheduled", State(type=StateType.SCHEDULED)),
        ("runs", State(type=StateType.RUNNING)),
        ("asks", Suspended(timeout_seconds=60, pause_key="approval")),
        ("done", Completed()),
        ("broken", Failed(message="no space left")),
    ):
        begin_run(server, f"announced-{key}", state)
    with server.client() as client:
        found = {key for key in unfinished_retrains(client) if key.startswith("announced-")}
    assert found == {"announced-scheduled", "announced-runs", "announced-asks"}


def test_there_is_time_until_the_limit_and_only_a_question_can_expire(server: Server, layout: Layout) -> None:
    package(layout, "fresh", HOURS - 1)
    begin_run(server, "fresh", Completed())
    assert vetoed(server, layout) == []
    package(layout, "late", HOURS + 1)
    unasked = read_settings(layout.params)
    unasked = unasked.model_copy(update={"rollout": unasked.rollout.model_copy(update={"approval": "none"})})
    assert vetoed(server, layout, unasked) == []
    assert vetoed(server, layout) == ["late"]
    assert states(layout) == {"fresh": "packaged", "late": "vetoed"}


def test_what_a_later_retrain_made_of_the_project_stays(server: Server, layout: Layout) -> None:
    package(layout, "late", HOURS + 2)
    package(layout, "later", HOURS - 1)
    assert vetoed(server, layout) == ["late"]
    assert (layout.root / "out").read_text() == "later"
    assert states(layout) == {"late": "vetoed", "later": "packaged"}


def test_who_changes_the_project_is_not_waited_for(server: Server, layout: Layout) -> None:
    package(layout, "late", HOURS + 1)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from flows.project.lock import project_lock\n"
            "with project_lock(Path.cwd(), 'training'): print('held', flush=True); sys.stdin.read()",
        ],
        cwd=layout.root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert vetoed(server, layout) == []
    finally:
        holder.communicate()
    with project_lock(layout.root, "me", wait=False):
        assert states(layout) == {"late": "packaged"}
    assert vetoed(server, layout) == ["late"]


def test_the_rollout_looks_for_them(server: Server, layout: Layout) -> None:
    package(layout, "late", HOURS + 1, datetime.now(UTC))
    program = "from flows.loop.rollout import rollout; rollout()"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=layout.root, env=server.env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "tierrec:late: vetoed: no answer within 6 h" in done.stdout + done.stderr
    assert states(layout) == {"late": "vetoed"}
    assert (layout.loop / "index.html").exists()


def test_a_retrain_is_found_by_the_key_that_its_flow_gives_it() -> None:
    assert retrain.name == "retrain"
    assert retrain_key("0123456789abcdef01234567", {"key": "k"}) == "k"
    assert retrain_key("0123456789abcdef01234567", None) == "asked-0123456789abcdef01"
