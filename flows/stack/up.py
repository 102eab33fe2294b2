"""Starts a stack: the supervisor, Prefect's server, the workers, the deployments and the service."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from flows.stack.deployments import FILE, deploy_flows
from flows.stack.folder import StackError, StackFolder
from flows.stack.plan import POOLS, SERVER, SERVICE, StackOptions, stack_environment, stack_parts
from flows.stack.server import crash_unfinished_runs, is_ready
from flows.stack.state import StackState, resolve_options
from flows.stack.supervision.processes import end_processes, stack_processes
from flows.stack.supervision.supervisor import Supervisor
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout

Report = Callable[[str], None]
NO_GPU = "no CUDA device, so its stages run on the CPU"
NOTHING_PACKAGED = "nothing is packaged yet; run `tierrec run`, then `tierrec stack up`"
_GPU_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # of Linux, and of Linux under Windows
_TIMEOUT_SECONDS, _POLL_SECONDS = 300.0, 0.25  # a service may build its Bento first
_MAX_RESTARTS = 2  # while waiting for a part
_MAX_COMMAND = 60  # characters
_RUNNING = ("STARTING", "RUNNING", "BACKOFF")


def up(root: Path, requested: Mapping[str, Any], report: Report) -> StackState:
    """Start every required part that is not running.

    requested: StackOptions by name, None for the running stack's value, else the default
    Raises StackError for a taken port, before anything is started; for options that a running part does not have; and
    for a part that does not start, with its last output.
    """
    root = root.resolve()
    folder = StackFolder.of(root)
    if not (root / FILE).exists():
        raise StackError(f"{root / FILE}: is missing, wanted the deployments; run this in the project's folder")
    folder.make()
    with stack_lock(folder, report):
        return _Startup(root, folder, Supervisor(folder), report).run(requested)


class _Startup:
    """One call of `up`."""

    def __init__(self, root: Path, folder: StackFolder, supervisor: Supervisor, report: Report) -> None:
        self._root, self._folder, self._supervisor, self._report = root, folder, supervisor, report

    def run(self, requested: Mapping[str, Any]) -> StackState:
        before = StackState.read(self._folder) if self._supervisor.pid else None
        options = resolve_options(requested, before)
        environment = stack_environment(self._root, options, os.environ)
        if before is None:
            self._end_leftover_processes()
        required = self._required_parts()
        running = {process.name for process in self._supervisor.processes().values() if process.state in _RUNNING}
        missing = [name for name in required if name not in running]
        _require_ports(options, missing)
        if before is None:
            self._start_supervisor(options, environment)
        started = before.started if before else datetime.now(UTC).isoformat(timespec="seconds")
        cuda = before.cuda if before else _has_cuda()
        state = StackState(options=options.without_password(), started=started, parts=required, cuda=cuda)
        state.write(self._folder)
        for name in running.difference(required):
            self._supervisor.finish(name)
        self._start_parts(missing, state, is_new=before is None)
        deployed = deploy_flows(self._root, options.api_url, environment, schedules=options.schedules)
        self._report(f"deployments: {', '.join(deployed)}" if deployed else "deployments: unchanged")
        if SERVICE in required:
            self._wait(SERVICE, state)
        return state

    def _end_leftover_processes(self) -> None:
        """End the processes of a stack whose supervisor was killed."""
        num_ended = end_processes(entry.process for entry in stack_processes(self._folder))
        if num_ended:
            self._report(f"ended {num_ended} processes that a killed supervisor had left")

    def _required_parts(self) -> tuple[str, ...]:
        if Layout(self._root).bento.exists():
            return (SERVER, *POOLS, SERVICE)
        self._report(f"service: left out: {NOTHING_PACKAGED}")
        return (SERVER, *POOLS)

    def _start_supervisor(self, options: StackOptions, environment: Mapping[str, str]) -> None:
        parts = stack_parts(self._root, options)
        described = {
            part.name: asdict(part) | {"folder": str(part.folder), "environment": {**environment, **part.environment}}
            for part in parts
        }
        artifacts.write_json(described, self._folder.parts)
        self._supervisor.start(parts, environment)
        self._wait_until(lambda: self._supervisor.pid is not None, "supervisor")

    def _start_parts(self, missing: list[str], state: StackState, *, is_new: bool) -> None:
        """Start the service first, which is slow and needs no other part; the workers need the server."""
        if SERVICE in missing:
            self._supervisor.begin(SERVICE)
        self._start_and_wait((SERVER,), missing, state)
        if is_new:  # no process of an earlier stack is left, and no worker was started yet
            crashed = crash_unfinished_runs(state.options.api_url)
            if crashed:
                self._report(f"unfinished runs of an earlier stack: {', '.join(crashed)}")
        self._start_and_wait(POOLS, missing, state)
        if not state.cuda:
            self._report(f"warning: gpu pool: {NO_GPU}")

    def _start_and_wait(self, names: tuple[str, ...], missing: list[str], state: StackState) -> None:
        for name in names:
            if name in missing:
                self._supervisor.begin(name)
        for name in names:
            self._wait(name, state)

    def _wait(self, name: str, state: StackState) -> None:
        started, num_starts = time.monotonic(), self._folder.num_starts(name)
        self._wait_until(lambda: self._is_ready(name, state, num_starts + _MAX_RESTARTS), name)
        seconds = time.monotonic() - started
        urls = {SERVER: state.options.api_url.removesuffix("/api"), SERVICE: state.options.service_url}
        after = f" after {seconds:.0f} s" if seconds >= 1 else ""
        self._report(f"{name}: ready{after}" + (f" at {urls[name]}" if name in urls else ""))

    def _is_ready(self, name: str, state: StackState, max_starts: int) -> bool:
        process = self._supervisor.processes().get(name)
        if process is None:
            raise StackError(f"{name}: supervisor has ended; its last lines:\n{self._folder.last_lines('supervisor')}")
        if process.state == "FATAL" or self._folder.num_starts(name) > max_starts:
            raise StackError(
                f"{name}: does not start; last lines of {self._folder.log(name)}:\n{self._folder.last_lines(name)}\n"
                "`tierrec stack up` tries again, `tierrec stack down` stops the rest"
            )
        return process.state in ("STARTING", "RUNNING") and is_ready(name, state.options, process.start)

    def _wait_until(self, is_done: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while not is_done():
            if time.monotonic() > deadline:
                raise StackError(
                    f"{name}: is not ready after {_TIMEOUT_SECONDS:.0f} s; last lines of {self._folder.log(name)}:\n"
                    f"{self._folder.last_lines(name)}"
                )
            time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def stack_lock(folder: StackFolder, report: Report) -> Iterator[None]:
    """Hold the lock on starting and stopping a stack."""
    lock = FileLock(folder.path / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report("waiting for another `tierrec stack up` or `down`")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _has_cuda() -> bool:
    """Whether torch sees a GPU; it takes seconds to import, and is asked only where there is a driver."""
    if not any(map(Path.exists, _GPU_DRIVERS)):
        return False
    from tierrec_core.neural.trainer import best_device

    return bool(best_device().type == "cuda")


def _require_ports(options: StackOptions, missing: list[str]) -> None:
    requests = {
        SERVER: PortRequest(options.server_port, "Prefect server", "--server-port"),
        SERVICE: PortRequest(options.service_port, "service", "--service-port", options.host),
    }
    require_free([request for name, request in requests.items() if name in missing])


@dataclass(frozen=True)
class PortRequest:
    """A port that a part needs. option: of the command line, to choose another"""

    port: int
    part: str
    option: str
    host: str = "127.0.0.1"


def require_free(requests: list[PortRequest]) -> None:
    """Raise StackError with a line for each port that is taken, or requested by two parts."""
    lines = [
        f"port {request.port}: taken by {_port_holder(request.port)}, wanted for the {request.part}; "
        f"choose another with {request.option}"
        for request in requests
        if not _is_port_free(request.port, request.host)
    ]
    lines += [
        f"port {request.port}: wanted by the {other.part} and the {request.part}; choose another with {request.option}"
        for position, request in enumerate(requests)
        for other in requests[:position]
        if request.port == other.port
    ]
    if lines:
        raise StackError("\n".join(lines))


def _is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _port_holder(port: int) -> str:
    """A description of the process that listens on the port."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            address, pid = connection.laddr, connection.pid
            if connection.status == psutil.CONN_LISTEN and address and address.port == port and pid:
                return f"pid {pid} ({_command(pid)})"
    return f"a process that user {os.getuid()} may not see"


def _command(pid: int) -> str:
    try:
        command = " ".join(psutil.Process(pid).cmdline()) or psutil.Process(pid).name()
    except psutil.Error:
        return "unknown"
    return command if len(command) <= _MAX_COMMAND else f"{command[:_MAX_COMMAND]}..."
