"""A whole stack on this machine: it comes up, runs flows, answers events, survives kills, and leaves nothing behind."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.stack.state import find_api_url
from flows.stack.status import PartStatus
from tests.support.projects import command, migrate_prefect
from tests.support.stacks import Stack, free_ports, toys, wait_for
from tierrec_core.base.paths import Layout

LONG = "a-rather-long-name-of-a-folder/" * 4  # no socket can be bound below it
WORKING = ("supervisor", "server", "cpu", "gpu")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    it = Stack(toys(tmp_path_factory.mktemp("stack") / LONG / "shop"), *free_ports(2))
    migrate_prefect(it.root / ".prefect")
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
    assert find_api_url(stack.root) == f"http://127.0.0.1:{stack.server_port}/api"


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


@pytest.mark.slow
def test_up_again_changes_nothing_until_a_flow_changes(stack: Stack):
    def everything() -> tuple[list[str], list[str], dict[str, int | None]]:
        automations, deployments = (stack.ask(f"{kind}/filter", {}) for kind in ("automations", "deployments"))
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


@pytest.mark.slow
def test_a_run_of_the_gpu_pool_is_not_in_the_project(stack: Stack):
    assert stack.end_of(stack.run("elsewhere")) == "COMPLETED"
    assert not Path((stack.root / "elsewhere").read_text()).is_relative_to(stack.root)


@pytest.mark.slow
def test_the_gpu_is_given_to_one_run_at_a_time(stack: Stack):
    runs = [stack.run("busy", name=name, seconds=6) for name in ("gpu1", "gpu2")]
    assert [stack.end_of(run) for run in runs] == ["COMPLETED", "COMPLETED"]
    said = [line.split() for line in (stack.root / "busy").read_text().splitlines()]
    assert [word for _, word in said] == ["began", "ended", "began", "ended"]
    assert [name for name, _ in said][::2] == [name for name, _ in said][1::2]
    assert {name for name, _ in said} == {"gpu1", "gpu2"}


@pytest.mark.slow
def test_killed_parts_come_back_and_no_run_is_lost_or_loses_its_place(stack: Stack):
    before = stack.status()
    first = stack.run_slowly("first", seconds=8)
    os.kill(before["cpu"].pid or 0, signal.SIGKILL)
    second = stack.run("slow", name="second", seconds=0)
    os.kill(before["server"].pid or 0, signal.SIGKILL)

    def recovered() -> dict[str, PartStatus] | None:
        parts = stack.status()
        again = all(parts[name].restarts > before[name].restarts for name in ("server", "cpu"))
        return parts if again and all(part.is_well for part in parts.values()) else None

    after = wait_for(recovered, "server and worker again")
    assert after["gpu"].pid == before["gpu"].pid
    assert [stack.end_of(run) for run in (first, second)] == ["COMPLETED", "COMPLETED"]
    journal = (stack.root / "slow").read_text().splitlines()
    assert journal == ["first began", "first ended", "second began", "second ended"]


@pytest.mark.slow
def test_a_part_that_cannot_come_up_is_told_with_its_own_words(stack: Stack):
    layout = Layout(stack.root)
    layout.bento.parent.mkdir(parents=True)
    layout.bento.write_text("{}")
    said = stack.up()
    assert said.returncode == 2
    assert "service: does not start" in said.stderr
    assert str(layout.params) in said.stderr.partition("last lines")[2], "what the toy lacks"
    assert command(stack.root, "tierrec", "stack", "status").returncode == 1
    layout.bento.unlink()
    assert "service: left out" in stack.up().stdout
    assert all(part.is_well for part in stack.status().values())


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert find_api_url(stack.root) is None

    assert stack.up().returncode == 0
    assert stack.state_of(run) == "CRASHED"
    assert stack.end_of(stack.run("slow", name="next", seconds=0)) == "COMPLETED"
