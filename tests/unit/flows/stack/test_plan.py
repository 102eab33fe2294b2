"""The plan of a stack: environments, databases, ports, and options of a running stack."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from sqlalchemy.engine import make_url

from flows.stack.folder import StackError, StackFolder
from flows.stack.plan import StackOptions, asyncpg_url, mask_password, stack_environment, stack_parts
from flows.stack.state import StackState, find_api_url, resolve_options
from flows.stack.supervision.processes import end_processes, stack_processes
from flows.stack.up import PortRequest, require_free


def test_parts_get_their_server_and_project_and_not_the_run_that_started_them(tmp_path: Path):
    inherited = {"PREFECT__FLOW_RUN_ID": "x", "PREFECT_API_DATABASE_CONNECTION_URL": "y", "HOME": "/home/shop"}
    environment = stack_environment(tmp_path, StackOptions(server_port=4210), inherited)
    assert not {"PREFECT__FLOW_RUN_ID", "PREFECT_API_DATABASE_CONNECTION_URL"} & set(environment)
    assert environment["HOME"] == "/home/shop"
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4210/api"
    assert environment["TIERREC_ROOT"] == str(tmp_path)
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["DO_NOT_TRACK"] == "1"


def test_only_the_service_may_listen_beyond_this_machine(tmp_path: Path):
    hosts = {
        part.name: part.command[part.command.index("--host") + 1]
        for part in stack_parts(tmp_path, StackOptions(host="0.0.0.0"))
        if "--host" in part.command
    }
    assert hosts == {"server": "127.0.0.1", "service": "0.0.0.0"}


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_a_database_url_gets_the_driver_of_prefect(scheme: str):
    url = make_url(asyncpg_url(f"{scheme}://shop:p%40ss@db:5433/prefect?ssl=true"))
    assert url.drivername == "postgresql+asyncpg"
    assert (url.username, url.password, url.host, url.port) == ("shop", "p@ss", "db", 5433)
    assert (url.database, dict(url.query)) == ("prefect", {"ssl": "true"})


def test_a_database_behind_a_socket_and_with_options_of_libpq_is_accepted():
    url = make_url(asyncpg_url("postgresql://shop@/prefect?host=/run/postgresql&sslmode=require"))
    assert dict(url.query) == {"host": "/run/postgresql", "ssl": "require"}
    assert url.database == "prefect"


def test_the_error_for_a_wrong_database_masks_its_password():
    with pytest.raises(StackError, match="mysql://shop:") as caught:
        asyncpg_url("mysql://shop:secret@db/prefect")
    assert "secret" not in str(caught.value)
    assert mask_password("postgresql://db/prefect") == "postgresql://db/prefect"


def test_a_running_stack_keeps_its_options_and_rejects_others():
    running = StackState(options=StackOptions(server_port=4210), started="now", parts=("server",), cuda=False)
    assert resolve_options({"server_port": None}, running).server_port == 4210
    assert resolve_options({"schedules": False}, running).schedules is False
    with pytest.raises(StackError, match=r"server_port 4210 \(requested: 4300\)"):
        resolve_options({"server_port": 4300}, running)


def test_the_error_names_every_taken_port_and_its_holder():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError) as caught:
            require_free([PortRequest(port, "server", "--server-port"), PortRequest(port, "service", "--service-port")])
    assert str(caught.value).count(f"port {port}: taken by pid {os.getpid()}") == 2
    assert f"port {port}: wanted by the server and the service" in str(caught.value)


def test_the_environment_names_the_server_before_the_stack_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    assert find_api_url(tmp_path) == "http://elsewhere/api"
    monkeypatch.delenv("PREFECT_API_URL")
    folder = StackFolder.of(tmp_path)
    folder.make()
    StackState(options=StackOptions(), started="now", parts=("server",), cuda=False).write(folder)
    assert find_api_url(tmp_path) is None, "the file is there, its server is not"


def test_only_processes_with_the_stacks_mark_are_ended(tmp_path: Path):
    folder, other = StackFolder.of(tmp_path / "ours"), StackFolder.of(tmp_path / "theirs")
    sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    ours, theirs = (
        subprocess.Popen(sleep, env=os.environ | {"TIERREC_STACK": str(marked.path)}, stdout=subprocess.PIPE)
        for marked in (folder, other)
    )
    try:
        for process in (ours, theirs):
            assert process.stdout is not None
            process.stdout.readline()
        assert [found.process.pid for found in stack_processes(folder)] == [ours.pid]
        assert end_processes(found.process for found in stack_processes(folder)) == 1
        assert not psutil.pid_exists(ours.pid)
        assert theirs.poll() is None
    finally:
        for process in (ours, theirs):
            process.kill()
            process.communicate()
