"""Real Prefect servers, workers and an S3 endpoint for tests; stopped, with all that they started, whatever happens."""

import contextlib
import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.deployments.runner import EntrypointType
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.support.projects import BIN, ENV, migrate_prefect

HERE = platform.node()
_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "2",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(holds: Callable[[], object], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"did not come: {what}"
        time.sleep(0.2)


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


@contextlib.contextmanager
def process(*command: str, folder: Path, log: Path, env: Mapping[str, str]) -> Iterator[psutil.Popen]:
    """A process in a group of its own; it and all that came of it are killed at the end."""
    with log.open("ab") as stream:
        started = psutil.Popen(
            command,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        end(started)


def end(started: psutil.Popen) -> None:
    """Kill -9, with all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in started.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()


@dataclass(frozen=True)
class Server:
    """A running Prefect server with its home."""

    url: str
    home: Path

    @property
    def env(self) -> dict[str, str]:
        """For programs that are to talk to it."""
        return ENV | _QUIET | {"PREFECT_API_URL": self.url, "PREFECT_HOME": str(self.home)}

    @contextlib.contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        with temporary_settings({PREFECT_API_URL: self.url}), get_client(sync_client=True) as client:
            yield client

    def pool(self, name: str = "gpu", limit: int | None = None) -> None:
        with self.client() as client:
            wanted = WorkPoolCreate(name=name, type="process", concurrency_limit=limit)
            client.create_work_pool(wanted, overwrite=True)

    def deploy(self, flow: Any, name: str, pool: str = "gpu") -> None:
        """Put a flow up by the module that it lies in, as prefect.yaml does for `stage`."""
        with temporary_settings({PREFECT_API_URL: self.url}):
            kind = EntrypointType.MODULE_PATH
            flow.to_deployment(name=name, work_pool_name=pool, entrypoint_type=kind).apply()

    @contextlib.contextmanager
    def worker(self, name: str, pool: str = "gpu", **env: str) -> Iterator[psutil.Popen]:
        """A worker that is online; its log lies in the server's home. The name gets this machine's after an @."""
        command = [str(BIN / "prefect"), "worker", "start", "--pool", pool, "--name", f"{name}@{HERE}"]
        log = self.home / f"{name}.log"
        with process(*command, folder=self.home, log=log, env=self.env | env) as started:
            wait_until(lambda: self.is_online(f"{name}@{HERE}", pool) or started.poll() is not None, name)
            assert started.poll() is None, log.read_text()
            yield started

    def is_online(self, name: str, pool: str) -> bool:
        with self.client() as client:
            return any(one.name == name for one in client.read_workers_for_work_pool(pool))

    def run(self, which: UUID) -> FlowRun:
        with self.client() as client:
            return client.read_flow_run(which)

    def runs(self, flow: str = "run-stage") -> list[FlowRun]:
        """All runs of a flow, oldest first."""
        with self.client() as client:
            flows = {one.id for one in client.read_flows() if one.name == flow}
            return sorted((one for one in client.read_flow_runs() if one.flow_id in flows), key=lambda one: one.created)


def commit(project: Path) -> None:
    """Everything that git does not ignore, as a person would before work."""
    for arguments in (["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "begun"]):
        subprocess.run(["git", *arguments], cwd=project, check=True)


@contextlib.contextmanager
def prefect_server(home: Path, port: int | None = None) -> Iterator[Server]:
    """A server on the port, or a free one; a home that was one before goes on."""
    migrate_prefect(home)
    port = port or free_port()
    server = Server(f"http://127.0.0.1:{port}/api", home)
    env = ENV | _QUIET | {"PREFECT_HOME": str(home)}
    command = [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with process(*command, folder=home, log=home / "server.log", env=env) as started:
        wait_until(lambda: answers(f"{server.url}/health") or started.poll() is not None, "Prefect server")
        assert started.poll() is None, (home / "server.log").read_text()
        yield server


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[str]:
    """An S3 endpoint that forgets everything when it ends; its URL."""
    port = free_port()
    command = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with process(*command, folder=folder, log=folder / "s3.log", env=ENV) as started:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{url}/moto-api/") or started.poll() is not None, "moto")
        yield url
