"""Kill -9 of workers, their runs and an orchestrator: others take over, no slot stays taken, no orphan writes."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest

from flows.gpu.worker import run_stage_in_clone
from flows.liveness import end_crashed_runs
from tests.support.prefect_workers import Server, end, free_port, prefect_server, wait_until
from tests.support.projects import BIN, toy_project

pytestmark = pytest.mark.slow

# The stage of the queue goes on for ever until somebody makes the file `go`, and says all the while that it lives.
GRAPH = """
stages:
  data: {{cmd: "echo data >> {folder}/ran; echo 1 > rows", outs: [rows]}}
  deep:
    cmd:
      - echo deep >> {folder}/ran
      - while [ ! -e {folder}/go ]; do echo $$ >> {folder}/ticks; sleep 0.1; done; cat rows > out
    deps: [rows]
    outs: [out]
    meta: {{queue: gpu}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as running:
        running.pool(limit=1)
        running.deploy(run_stage_in_clone, "stage")
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return toy_project(tmp_path / "project", GRAPH.format(folder=tmp_path))


class Orchestrator:
    """`tierrec run` in the background."""

    def __init__(self, project: Path, server: Server) -> None:
        self._log = project.parent / f"said-{uuid4()}"
        with self._log.open("wb") as stream:
            self.process = subprocess.Popen(
                [BIN / "tierrec", "run"], cwd=project, env=server.env, stdout=stream, stderr=stream
            )

    def __enter__(self) -> "Orchestrator":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        return self._log.read_text()


def test_next_worker_takes_over_the_stage_of_a_killed_one(project: Path, server: Server) -> None:
    """The pool has one slot: the second worker gets the stage only once the dead run has given that back."""
    folder, before = project.parent, known(server)
    with server.worker("first", TIERREC_CLONE=str(folder / "one")) as first, Orchestrator(project, server) as run:
        wait_until((folder / "ticks").exists, "a tick")
        stage = psutil.Process(int((folder / "ticks").read_text().split()[0]))
        os.killpg(first.pid, signal.SIGKILL)
        wait_until(lambda: not alive(stage), "the end of the killed worker's stage", 15)
        ticks = (folder / "ticks").read_text()
        with server.worker("second", TIERREC_CLONE=str(folder / "two")):
            assert stage.pid not in map(int, (folder / "ticks").read_text().removeprefix(ticks).split())
            (folder / "go").touch()
            assert run.process.wait(timeout=90) == 0, run.said()
    assert (project / "out").read_text() == "1\n"
    assert (folder / "ran").read_text().split() == ["data", "deep", "deep"]
    dead, taken = (one for one in server.runs() if one.id not in before)
    assert (dead.state_name, taken.state_name) == ("Crashed", "Completed")
    assert dead.state is not None
    assert "has ended" in str(dead.state.message)
    assert taken.labels["prefect.worker.name"].startswith("second@")


def test_only_the_dead_are_reaped(project: Path, server: Server) -> None:
    folder, before = project.parent, known(server)
    with (
        server.worker("third", TIERREC_CLONE=str(folder / "one")) as worker,
        server.client() as client,
        Orchestrator(project, server) as run,
    ):
        wait_until((folder / "ticks").exists, "a tick")
        [sent] = [one for one in server.runs() if one.id not in before]
        assert end_crashed_runs(client) == []
        run.process.kill()
        run.process.wait()
        assert [one.run for one in end_crashed_runs(client)] == [server.runs("train")[-1].id]
        assert server.run(sent.id).state_name == "Running"
        end(worker)
        assert [one.run for one in end_crashed_runs(client)] == [sent.id]
        assert server.run(sent.id).state_name == "Crashed"


def test_next_orchestrator_takes_over_a_run_that_goes_on(project: Path, server: Server) -> None:
    folder, before = project.parent, known(server)
    with server.worker("fourth", TIERREC_CLONE=str(folder / "one")):
        with Orchestrator(project, server) as killed:
            wait_until((folder / "ticks").exists, "a tick")
            killed.process.kill()
        with Orchestrator(project, server) as run:
            wait_until(lambda: "deep: at gpu: running" in run.said(), "the run's being found")
            (folder / "go").touch()
            assert run.process.wait(timeout=60) == 0, run.said()
    assert (folder / "ran").read_text().split() == ["data", "deep"]
    assert len(known(server) - before) == 1


def test_a_run_is_taken_back_when_no_worker_is_left(project: Path, server: Server) -> None:
    folder = project.parent
    (folder / "go").touch()
    never = {"PREFECT_WORKER_QUERY_SECONDS": "600"}  # online, and it asks for runs only once, before there is one
    with server.worker("fifth", TIERREC_CLONE=str(folder / "one"), **never) as worker:
        with Orchestrator(project, server) as run:
            wait_until(lambda: "deep: sent to gpu" in run.said(), "the sending")
            end(worker)
            assert run.process.wait(timeout=90) == 0, run.said()
        assert "runs here: it no longer has a worker online" in run.said()
    assert (project / "out").read_text() == "1\n"


def test_a_killed_server_that_comes_back_finds_the_stage_done_once(project: Path) -> None:
    folder, port = project.parent, free_port()
    with contextlib.ExitStack() as stack:
        with prefect_server(folder / "prefect", port) as server:
            server.pool()
            server.deploy(run_stage_in_clone, "stage")
            worker = server.worker("sixth", TIERREC_CLONE=str(folder / "one"))
            stack.enter_context(worker)
            run = stack.enter_context(Orchestrator(project, server))
            wait_until((folder / "ticks").exists, "a tick")
        with prefect_server(folder / "prefect", port) as server:
            (folder / "go").touch()
            assert run.process.wait(timeout=90) == 0, run.said()
            assert [one.state_name for one in server.runs()] == ["Completed"]
    assert (folder / "ran").read_text().split() == ["data", "deep"]


def known(server: Server) -> set[UUID]:
    return {one.id for one in server.runs()}


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
