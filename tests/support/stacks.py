"""A project of toy flows, and its stack as a test sees it: by commands, by the server's API, by its processes."""

import json
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import psutil
from ruamel.yaml import YAML

from flows.stack.status import PartStatus, stack_status
from tests.support.projects import ROOT, command

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

    def status(self) -> dict[str, PartStatus]:
        return {row.part: row for row in stack_status(self.root)}

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
            return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer.raise_for_status()

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
        return wait_for(lambda: state if (state := self.state_of(run)) in ends else None, "end of the flow run")

    def run_slowly(self, name: str, seconds: float) -> str:
        """Ask for a slow run and wait until it is at it."""
        run, journal = self.run("slow", name=name, seconds=seconds), self.root / "slow"
        wait_for(lambda: (journal.exists() and f"{name} began" in journal.read_text()) or None, "the slow run")
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
