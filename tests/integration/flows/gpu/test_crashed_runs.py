"""Ending crashed runs on a real server; the records of the runs name real processes."""

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from prefect import flow, runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Completed, Pending, Running, State

from flows.gpu.work_pool import online_workers
from flows.liveness import (
    HEARTBEAT_SECONDS,
    LABEL,
    START_TIMEOUT,
    ProcessRecord,
    SilenceTracker,
    end_crashed_runs,
    send_heartbeats,
)
from tests.support.prefect_workers import HERE, Server, prefect_server, wait_until


@flow
def work() -> None: ...


@flow(on_running=[send_heartbeats])
def heartbeats() -> tuple[ProcessRecord | None, ProcessRecord | None]:
    with get_client(sync_client=True) as client:

        def read() -> ProcessRecord | None:
            return ProcessRecord.read(client.read_flow_run(runtime.flow_run.id))

        first = read()
        wait_until(lambda: read() != first, "the next heartbeat", 2 * HEARTBEAT_SECONDS)
        return first, read()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as running:
        running.pool("gpu")
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[SyncPrefectClient]:
    with server.client() as connected:
        yield connected
        for run in connected.read_flow_runs():
            connected.delete_flow_run(run.id)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    command = ["sleep", "600"]
    with subprocess.Popen(command) as started:
        # Popen may return before the kernel shows the new command line, which is part of the fingerprint.
        wait_until(lambda: psutil.Process(started.pid).cmdline() == command, "the command line")
        yield started
        started.kill()


def add(client: SyncPrefectClient, state: State, record: ProcessRecord | None, worker: str = "") -> FlowRun:
    run = client.create_flow_run(work, state=state)
    labels = {"prefect.worker.name": worker, "prefect.work-pool.name": "gpu"} if worker else {}
    client.update_flow_run_labels(run.id, labels | ({LABEL: str(record)} if record else {}))
    return run


def names(client: SyncPrefectClient, *runs: FlowRun) -> list[str | None]:
    return [client.read_flow_run(run.id).state_name for run in runs]


def test_a_run_ends_with_its_process_and_not_before(
    client: SyncPrefectClient, process: subprocess.Popen[bytes]
) -> None:
    started = datetime.now(UTC)
    record = ProcessRecord.make(datetime.now(UTC), process.pid)
    running = add(client, Running(timestamp=started), record)
    cancelling = add(client, Cancelling(timestamp=started), record)
    assert end_crashed_runs(client) == []
    process.kill()
    process.wait()
    assert {crashed.run for crashed in end_crashed_runs(client)} == {running.id, cancelling.id}
    assert names(client, running, cancelling) == ["Crashed", "Cancelled"]
    state = client.read_flow_run(running.id).state
    assert state is not None
    assert state.message == f"Reaped: its process on {HERE} has ended"
    assert end_crashed_runs(client) == []


def test_finished_scheduled_and_unknown_runs_are_left_alone(client: SyncPrefectClient) -> None:
    gone = ProcessRecord(HERE, 2**22 - 3, 0, datetime.now(UTC) + timedelta(minutes=1))
    runs = [add(client, Completed(), gone), client.create_flow_run(work), add(client, Running(), None)]
    assert end_crashed_runs(client, now=datetime.now(UTC) + timedelta(days=1)) == []
    assert names(client, *runs) == ["Completed", "Pending", "Running"]


def test_only_the_named_run_is_reaped(client: SyncPrefectClient) -> None:
    gone = ProcessRecord(HERE, 2**22 - 3, 0, datetime.now(UTC) + timedelta(minutes=1))
    first, second = add(client, Running(), gone), add(client, Running(), gone)
    assert [ended.run for ended in end_crashed_runs(client, only=first.id)] == [first.id]
    assert names(client, first, second) == ["Crashed", "Running"]


def test_a_local_run_without_a_heartbeat_is_dead_after_the_start_timeout(client: SyncPrefectClient) -> None:
    silent = add(client, Pending(), None, worker=f"gpu@{HERE}")
    assert end_crashed_runs(client) == []
    assert [crashed.run for crashed in end_crashed_runs(client, now=datetime.now(UTC) + 2 * START_TIMEOUT)] == [
        silent.id
    ]


def test_a_remote_run_is_dead_when_its_heartbeats_stop(client: SyncPrefectClient) -> None:
    moments = iter(range(0, 1_000, 50))
    tracker = SilenceTracker(lambda: next(moments))
    start = datetime.now(UTC)
    run = add(client, Running(timestamp=start), ProcessRecord("far", 1, 0, start), worker="gpu@far")
    assert [end_crashed_runs(client, tracker=tracker) for _ in range(2)] == [[], []]
    client.update_flow_run_labels(run.id, {LABEL: str(ProcessRecord("far", 1, 0, start + timedelta(seconds=20)))})
    assert [end_crashed_runs(client, tracker=tracker) for _ in range(3)] == [[], [], []]
    assert [str(crashed) for crashed in end_crashed_runs(client, tracker=tracker)] == [
        f"{run.name}: it sent no heartbeat for 150 s"
    ]


def test_a_remote_run_without_a_heartbeat_is_dead_when_its_worker_is_offline(client: SyncPrefectClient) -> None:
    moments = iter(range(0, 100_000, 50))
    tracker = SilenceTracker(lambda: next(moments))
    beat = {"name": "gpu@far", "heartbeat_interval_seconds": 1}
    client.request("POST", "/work_pools/gpu/workers/heartbeat", json=beat).raise_for_status()
    run = add(client, Pending(), None, worker="gpu@far")
    assert [end_crashed_runs(client, tracker=tracker) for _ in range(4)] == [[], [], [], []]
    wait_until(lambda: not online_workers(client, "gpu"), "the worker to go offline")
    assert [crashed.run for crashed in end_crashed_runs(client, tracker=tracker)] == [run.id]


def test_a_flow_renews_the_record_of_its_process(server: Server) -> None:
    """The flow sleeps a little longer than from one beat to the next."""
    with server.client() as client:
        state = heartbeats(return_state=True)
        assert state.is_completed()
        first, last = state.result()
        assert first is not None
        assert last is not None
        assert (first.host, first.pid, first.fingerprint) == (HERE, os.getpid(), last.fingerprint)
        assert first.at < last.at
        assert client.hello().is_success


@pytest.mark.slow
def test_all_pages_of_runs_are_checked(client: SyncPrefectClient) -> None:
    gone = ProcessRecord(HERE, 2**22 - 3, 0, datetime.now(UTC) + timedelta(minutes=10))
    for _ in range(205):
        client.create_flow_run(work, state=Running())
    last = add(client, Running(timestamp=datetime.now(UTC)), gone)
    assert [crashed.run for crashed in end_crashed_runs(client)] == [last.id]
