"""Bring up what is missing of a stack, one part after the other, and return when all of it does its work."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from flows.stack import health, state
from flows.stack.deployments import FILE, deploy_flows
from flows.stack.folder import StackError, StackFolder
from flows.stack.plan import POOLS, SERVER, SERVICE, StackOptions, stack_environment, stack_parts
from flows.stack.ports import PortRequest, require_free
from flows.stack.runs import crash_unfinished_runs
from flows.stack.state import StackState
from flows.stack.supervision.processes import end_processes, stack_processes
from flows.stack.supervision.supervisor import Supervisor
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout

Say = Callable[[str], None]
NO_GPU = "no CUDA device, its stages run on the CPU"
NOTHING_PACKAGED = "nothing is packaged yet; `tierrec run`, then `tierrec stack up`"
_PATIENCE, _POLL = 300.0, 0.25  # seconds; a service may build its Bento first
_MORE_STARTS = 2  # while we wait; then it is no accident
_RUNS = ("STARTING", "RUNNING", "BACKOFF")


def up(root: Path, asked: Mapping[str, Any], say: Say) -> StackState:
    """Start every part that is wanted and not running; `asked` are Options by name, None where nothing was said.

    Raises StackError for a port that is taken, before anything is started; for options that a running part does not
    have; and for a part that does not come up, with its last words.
    """
    root = root.resolve()
    folder = StackFolder.of(root)
    if not (root / FILE).exists():
        raise StackError(
            f"{root / FILE}: is missing, wanted the deployments; run this in the project's folder"
        )
    folder.make()
    with only_one(folder, say):
        return _Ascent(root, folder, Supervisor(folder), say).run(asked)


class _Ascent:
    """One `up`."""

    def __init__(self, root: Path, folder: StackFolder, supervisor: Supervisor, say: Say) -> None:
        self._root, self._folder, self._supervisor, self._say = root, folder, supervisor, say

    def run(self, asked: Mapping[str, Any]) -> StackState:
        running = state.read(self._folder) if self._supervisor.pid else None
        options = state.choose(asked, running)
        told = stack_environment(self._root, options, os.environ)
        if running is None:
            self._end_leftovers()
        wanted = self._wanted()
        running_parts = self._running()
        missing = [name for name in wanted if name not in running_parts]
        _require_ports(options, missing)
        if running is None:
            self._begin(options, told)
        device = running.cuda if running else _sees_cuda()
        started = running.started if running else datetime.now(UTC).isoformat(timespec="seconds")
        now = state.make(options, wanted, started=started, cuda=device)
        state.write(self._folder, now)
        for name in running_parts.difference(wanted):
            self._supervisor.finish(name)
        self._start(missing, now, is_new=running is None)
        made = deploy_flows(self._root, now.api_url, told, schedules=options.schedules)
        self._say(f"deployments: {', '.join(made)}" if made else "deployments: as they were")
        if SERVICE in wanted:
            self._wait(SERVICE, now)
        return now

    def _end_leftovers(self) -> None:
        """Processes of a stack whose supervisor was killed."""
        count = end_processes(one.process for one in stack_processes(self._folder))
        if count:
            self._say(f"ended {count} processes that a killed supervisor had left")

    def _wanted(self) -> tuple[str, ...]:
        if Layout(self._root).bento.exists():
            return (SERVER, *POOLS, SERVICE)
        self._say(f"service: left out: {NOTHING_PACKAGED}")
        return (SERVER, *POOLS)

    def _running(self) -> set[str]:
        return {one.name for one in self._supervisor.processes().values() if one.state in _RUNS}

    def _begin(self, options: StackOptions, told: Mapping[str, str]) -> None:
        plan = stack_parts(self._root, options)
        described = {
            one.name: asdict(one) | {"stack_environment": {**told, **one.environment}} for one in plan
        }
        artifacts.write_json(
            {name: one | {"folder": str(one["folder"])} for name, one in described.items()},
            self._folder.parts,
        )
        self._supervisor.start(plan, told)
        self._patiently(lambda: self._supervisor.pid is not None, "supervisor")

    def _start(self, missing: list[str], now: StackState, *, is_new: bool) -> None:
        """The service takes longest and needs nobody; the workers need the server."""
        if SERVICE in missing:
            self._supervisor.begin(SERVICE)
        self._start_and_wait((SERVER,), missing, now)
        if is_new:
            self._write_off(now)
        self._start_and_wait(POOLS, missing, now)
        if not now.cuda:
            self._say(f"warning: gpu pool: {NO_GPU}")

    def _start_and_wait(self, names: tuple[str, ...], missing: list[str], now: StackState) -> None:
        for name in names:
            if name in missing:
                self._supervisor.begin(name)
        for name in names:
            self._wait(name, now)

    def _write_off(self, now: StackState) -> None:
        """Runs of a stack that was not taken down: nothing of it lives, and no worker was started yet."""
        ended = crash_unfinished_runs(now.api_url)
        if ended:
            self._say(f"runs that an earlier stack had left: {', '.join(ended)}")

    def _wait(self, name: str, now: StackState) -> None:
        began, num_starts = time.monotonic(), self._folder.num_starts(name)
        self._patiently(lambda: self._is_ready(name, now, num_starts + _MORE_STARTS), name)
        waited = time.monotonic() - began
        self._say(f"{name}: ready" + (f" after {waited:.0f} s" if waited >= 1 else "") + _where(name, now))

    def _is_ready(self, name: str, now: StackState, max_starts: int) -> bool:
        process = self._supervisor.processes().get(name)
        if process is None:
            raise StackError(
                f"{name}: supervisor is gone; its last lines:\n{self._folder.last_lines('supervisor')}"
            )
        if process.state == "FATAL" or self._folder.num_starts(name) > max_starts:
            raise StackError(
                f"{name}: does not come up; last lines of {self._folder.log(name)}:\n{self._folder.last_lines(name)}\n"
                "`tierrec stack up` tries again, `tierrec stack down` ends the rest"
            )
        return process.state in ("STARTING", "RUNNING") and health.is_ready(name, now, process.start)

    def _patiently(self, is_done: Callable[[], bool], name: str) -> None:
        end_of_patience = time.monotonic() + _PATIENCE
        while not is_done():
            if time.monotonic() > end_of_patience:
                raise StackError(
                    f"{name}: is not ready after {_PATIENCE:.0f} s; last lines of {self._folder.log(name)}:\n"
                    f"{self._folder.last_lines(name)}"
                )
            time.sleep(_POLL)


class only_one:  # noqa: N801 - read as a phrase: with only_one(...)
    """Inside, nobody else brings this stack up or down."""

    def __init__(self, folder: StackFolder, say: Say) -> None:
        self._lock, self._say = FileLock(folder.lock), say

    def __enter__(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self._say("waiting for another `tierrec stack up` or `down`")
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _sees_cuda() -> bool:
    # Seconds of import, which a second `up` and `status` do not need.
    from tierrec_core.neural.trainer import best_device

    return bool(best_device().type == "cuda")


def _require_ports(options: StackOptions, missing: list[str]) -> None:
    wanted = {
        SERVER: PortRequest(options.server_port, "Prefect server", "--server-port"),
        SERVICE: PortRequest(options.service_port, "service", "--service-port", options.host),
    }
    require_free([one for name, one in wanted.items() if name in missing])


def _where(name: str, now: StackState) -> str:
    places = {SERVER: now.api_url.removesuffix("/api"), SERVICE: str(now.service_url)}
    return f" at {places[name]}" if name in places else ""
