"""A whole stack on this machine: it comes up, runs flows, answers events, survives kills, and leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import psutil
import pytest
from ruamel.yaml import YAML

from flows.stack.address import api_url
from flows.stack.status import Row, status
from tests.project import ROOT, command
from tierrec_core.layout import Layout

FLOWS = """
import json
import os
import time
from pathlib import Path
from prefect import flow


@flow
def hello(name: str = "nobody") -> None:
    Path(f"hello-{name}").write_text(str(Path.cwd()))


@flow
def answer(decision: dict) -> None:
    with Path("answers").open("a") as answers:
        answers.write(json.dumps(decision) + "\\n")


@flow
def slow(name: str, seconds: float) -> None:
    for word in ("began", "ended"):
        with Path("slow").open("a") as said:
            said.write(f"{name} {word}\\n")
        if word == "began":
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.1)


@flow
def elsewhere() -> None:
    Path(os.environ["TIERREC_ROOT"], "elsewhere").write_text(str(Path.cwd()))


@flow
def busy(name: str, seconds: float) -> None:
    for word in ("began", "ended"):
        with Path(os.environ["TIERREC_ROOT"], "busy").open("a") as said:
            said.write(f"{name} {word}\\n")
        time.sleep(seconds if word == "began" else 0)
"""
DEPLOYMENTS = """
name: toys
definitions:
  project: &project
    - prefect.deployments.steps.set_working_directory:
        directory: "{{ $TIERREC_ROOT }}"
deployments:
  - name: hello
    entrypoint: toys.py:hello
    work_pool: {name: cpu}
    pull: *project
    schedules:
      - interval: 3600
        active: "{{ $TIERREC_SCHEDULES }}"
  - name: answer
    entrypoint: toys.py:answer
    work_pool: {name: cpu}
    pull: *project
    concurrency_limit: {limit: 1, collision_strategy: ENQUEUE}
    triggers:
      - type: event
        expect: [tierrec.drift.detected]
        parameters:
          decision:
            __prefect_kind: json
            value:
              __prefect_kind: jinja
              template: "{{ event.payload | tojson }}"
  - name: slow
    entrypoint: toys.py:slow
    work_pool: {name: cpu}
    pull: *project
    concurrency_limit: {limit: 1, collision_strategy: ENQUEUE}
  - name: elsewhere
    entrypoint: "{{ $TIERREC_ROOT }}/toys.py:elsewhere"
    work_pool: {name: gpu}
    pull: STAGE_PULL
  - name: busy
    entrypoint: "{{ $TIERREC_ROOT }}/toys.py:busy"
    work_pool: {name: gpu}
    pull: STAGE_PULL
"""
T = TypeVar("T")
LONG = "a-rather-long-name-of-a-folder/" * 4  # no socket can be bound below it
WORKING = ("supervisor", "server", "cpu", "gpu")


def wait_for(look: Callable[[], T | None], what: str, seconds: float = 120) -> T:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (seen := look()) is not None:
            return seen
        time.sleep(0.3)
    raise AssertionError(f"{what}: not within {seconds} s")


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def toys(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "toys.py").write_text(FLOWS)
    real = YAML(typ="safe").load((ROOT / "prefect.yaml").read_text())["deployments"]
    (pull,) = [one["pull"] for one in real if one["name"] == "stage"]
    (folder / "prefect.yaml").write_text(DEPLOYMENTS.replace("STAGE_PULL", json.dumps(pull)))
    return folder


@dataclass(frozen=True)
class Stack:
    root: Path
    server_port: int
    service_port: int

    def up(self, *options: str) -> subprocess.CompletedProcess[str]:
        ports = ("--server-port", str(self.server_port), "--service-port", str(self.service_port))
        return command(self.root, "tierrec", "stack", "up", "--no-schedules", *ports, *options)

    def down(self) -> subprocess.CompletedProcess[str]:
        return command(self.root, "tierrec", "stack", "down")

    def status(self) -> dict[str, Row]:
        return {row.part: row for row in status(self.root)}

    def processes(self) -> list[psutil.Process]:
        """Found by what each process says of itself, whoever its parent is."""
        found, mark = [], str(self.root / "data" / "loop" / "stack")
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and mark in process.environ().values():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def ask(self, path: str, body: object = None, method: str = "POST") -> Any:
        url = f"http://127.0.0.1:{self.server_port}/api/{path}"

        def answered() -> httpx.Response | None:
            """A server whose SQLite is busy says 503 and has done nothing; Prefect's own client asks again, too."""
            answer = httpx.request(method, url, json=body, timeout=30)
            return (
                None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer.raise_for_status()
            )

        answer = wait_for(answered, f"an answer to {path}", 60)
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        return self.ask(f"deployments/name/{name}/{name}", method="GET")

    def runs(self, name: str) -> list[dict[str, Any]]:
        return self.ask("flow_runs/filter", {"deployments": {"id": {"any_": [self.deployment(name)["id"]]}}})

    def run(self, deployment: str, **parameters: Any) -> str:
        """Ask for a run; its id."""
        key = self.deployment(deployment)["id"]
        return str(self.ask(f"deployments/{key}/create_flow_run", {"parameters": parameters})["id"])

    def state_of(self, run: str) -> str:
        return str(self.ask(f"flow_runs/{run}", method="GET")["state"]["type"])

    def end_of(self, run: str) -> str:
        """The state that a run ended in."""
        ends = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        return wait_for(
            lambda: state if (state := self.state_of(run)) in ends else None, "end of the flow run"
        )

    def run_slowly(self, name: str, seconds: float) -> str:
        """Ask for a slow run and wait until it is at it."""
        run, journal = self.run("slow", name=name, seconds=seconds), self.root / "slow"
        wait_for(
            lambda: (journal.exists() and f"{name} began" in journal.read_text()) or None, "the slow run"
        )
        return run

    def tell_of_drift(self, payload: dict[str, Any]) -> None:
        event = {
            "id": str(uuid4()),
            "event": "tierrec.drift.detected",
            "occurred": datetime.now(UTC).isoformat(),
            "resource": {"prefect.resource.id": "tierrec.model.next"},
            "payload": payload,
        }
        self.ask("events", [event])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    it = Stack(toys(tmp_path_factory.mktemp("stack") / LONG / "shop"), *free_ports(2))
    try:
        said = it.up()
        assert said.returncode == 0, said.stdout + said.stderr
        yield it
    finally:
        it.down()


def test_all_parts_run_and_a_missing_bento_is_left_out(stack: Stack):
    said = command(stack.root, "tierrec", "stack", "status", "--json")
    parts = {row["part"]: row for row in json.loads(said.stdout)["parts"]}
    assert said.returncode == 0
    assert {name: parts[name]["state"] for name in WORKING} == dict.fromkeys(WORKING, "running")
    assert parts["service"]["state"] == "left out"
    assert "tierrec run" in parts["service"]["note"]
    assert all(psutil.pid_exists(parts[name]["pid"]) for name in WORKING)
    assert api_url(stack.root) == f"http://127.0.0.1:{stack.server_port}/api"


def test_nothing_listens_beyond_this_machine(stack: Stack):
    listening = {
        connection.laddr.ip
        for process in stack.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_a_deployed_flow_runs_in_the_project_and_no_clock_starts_it(stack: Stack):
    assert [one["active"] for one in stack.deployment("hello")["schedules"]] == [False]
    assert stack.end_of(stack.run("hello", name="cpu")) == "COMPLETED"
    assert (stack.root / "hello-cpu").read_text() == str(stack.root)


def test_an_event_starts_exactly_one_run_with_its_payload(stack: Stack):
    payload = {"score": 0.3, "columns": ["price", 'a "quoted" one'], "refit": None}
    stack.tell_of_drift(payload)
    run = wait_for(lambda: next(iter(stack.runs("answer")), None), "a triggered run")
    assert stack.end_of(run["id"]) == "COMPLETED"
    # An event after it was handled: a second run for the first one would have come before this one's.
    stack.tell_of_drift(payload | {"score": 0.4})
    wait_for(lambda: True if len(stack.runs("answer")) > 1 else None, "the second event's run")
    assert {stack.end_of(one["id"]) for one in stack.runs("answer")} == {"COMPLETED"}
    answers = [json.loads(line) for line in (stack.root / "answers").read_text().splitlines()]
    assert answers == [payload, payload | {"score": 0.4}]


def test_up_again_changes_nothing_until_a_flow_changes(stack: Stack):
    def everything() -> tuple[list[str], list[str], dict[str, int | None]]:
        automations, deployments = (
            stack.ask(f"{kind}/filter", {}) for kind in ("automations", "deployments")
        )
        pids = {name: part.pid for name, part in stack.status().items()}
        return [one["id"] for one in automations], sorted(one["id"] for one in deployments), pids

    before = everything()
    said = stack.up()
    assert said.returncode == 0, said.stderr
    assert everything() == before
    with (stack.root / "toys.py").open("a") as flows:
        flows.write("# changed\n")
    assert "deployments: answer, busy, elsewhere, hello, slow" in stack.up().stdout
    automations, *others = everything()
    assert others == list(before[1:])
    assert len(automations) == len(before[0]) == 1


def test_a_run_of_the_gpu_pool_is_not_in_the_project(stack: Stack):
    assert stack.end_of(stack.run("elsewhere")) == "COMPLETED"
    assert not Path((stack.root / "elsewhere").read_text()).is_relative_to(stack.root)


def test_the_gpu_is_given_to_one_run_at_a_time(stack: Stack):
    runs = [stack.run("busy", name=name, seconds=6) for name in ("gpu1", "gpu2")]
    assert [stack.end_of(run) for run in runs] == ["COMPLETED", "COMPLETED"]
    said = [line.split() for line in (stack.root / "busy").read_text().splitlines()]
    assert [word for _, word in said] == ["began", "ended", "began", "ended"]
    assert [name for name, _ in said][::2] == [name for name, _ in said][1::2]
    assert {name for name, _ in said} == {"gpu1", "gpu2"}


def test_killed_parts_come_back_and_no_run_is_lost_or_loses_its_place(stack: Stack):
    before = stack.status()
    first = stack.run_slowly("first", seconds=8)
    os.kill(before["cpu"].pid or 0, signal.SIGKILL)
    second = stack.run("slow", name="second", seconds=0)
    os.kill(before["server"].pid or 0, signal.SIGKILL)

    def recovered() -> dict[str, Row] | None:
        parts = stack.status()
        again = all(parts[name].restarts > before[name].restarts for name in ("server", "cpu"))
        return parts if again and all(part.is_well for part in parts.values()) else None

    after = wait_for(recovered, "server and worker again")
    assert after["gpu"].pid == before["gpu"].pid
    assert [stack.end_of(run) for run in (first, second)] == ["COMPLETED", "COMPLETED"]
    journal = (stack.root / "slow").read_text().splitlines()
    assert journal == ["first began", "first ended", "second began", "second ended"]


def test_a_part_that_cannot_come_up_is_told_with_its_own_words(stack: Stack):
    layout = Layout(stack.root)
    layout.bento.parent.mkdir(parents=True)
    layout.bento.write_text("{}")
    said = stack.up()
    assert said.returncode == 2
    assert "service: does not come up" in said.stderr
    assert str(layout.params) in said.stderr.partition("last lines")[2], "what the toy lacks"
    assert command(stack.root, "tierrec", "stack", "status").returncode == 1
    layout.bento.unlink()
    assert "service: left out" in stack.up().stdout
    assert all(part.is_well for part in stack.status().values())


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path):
    project = toys(tmp_path / "other")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = Stack(project, port, free_ports(1)[0])
        said = other.up()
    assert said.returncode == 2
    assert f"port {port}: taken by pid {os.getpid()}" in said.stderr
    assert "--server-port" in said.stderr
    assert other.processes() == []
    assert command(project, "tierrec", "stack", "status").returncode == 1


def test_a_killed_supervisor_is_noticed_and_replaced(stack: Stack):
    before = stack.status()
    run = stack.run_slowly("left behind", seconds=600)
    os.kill(before["supervisor"].pid or 0, signal.SIGKILL)
    assert command(stack.root, "tierrec", "stack", "status").returncode == 1
    orphaned = stack.status()
    assert orphaned["supervisor"].state == "down"
    assert {orphaned[name].state for name in ("server", "cpu", "gpu")} == {"orphaned"}
    left = {process.pid for process in stack.processes()}
    assert {before[name].pid for name in ("server", "cpu", "gpu")} <= left

    assert stack.up().returncode == 0
    assert all(part.is_well for part in stack.status().values())
    assert not {process.pid for process in stack.processes()} & left
    assert stack.state_of(run) == "CRASHED"


def test_down_ends_runs_and_all_processes_and_frees_their_places(stack: Stack):
    run = stack.run_slowly("cut off", seconds=600)
    said = stack.down()
    assert said.returncode == 0, said.stderr
    assert "the stack is down" in said.stdout
    assert stack.processes() == []
    assert stack.status() == {}
    assert api_url(stack.root) is None

    assert stack.up().returncode == 0
    assert stack.state_of(run) == "CRASHED"
    assert stack.end_of(stack.run("slow", name="next", seconds=0)) == "COMPLETED"
