"""Detects flow runs whose process has died, and ends them as crashed, so that they free their concurrency slots.

Every flow has `on_running=[send_heartbeats]`: the Prefect server records which process executes a run, and the record
is renewed until the run ends. On the run's own machine that process is checked by id and fingerprint. A run on another
machine is dead when its heartbeat has not changed for a while by the observer's clock, since the clocks of two machines
may differ.
"""

import contextvars
import os
import platform
import threading
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self
from uuid import UUID

import httpx
import psutil
from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.states import Cancelled, Crashed

from flows.run_names import flow_and_time

LABEL = "tierrec.process"
HEARTBEAT_SECONDS = 20.0
RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
_CLOCK_TOLERANCE = timedelta(seconds=2)  # between the clocks of a worker and its engine
_UNFINISHED = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
START_TIMEOUT = timedelta(seconds=30)  # from a worker's taking a run to its first heartbeat
SILENCE_SECONDS = 6 * HEARTBEAT_SECONDS
_PAGE = 200

ProcessState = Literal["alive", "dead", "unknown"]


@dataclass(frozen=True)
class ProcessRecord:
    """The process that executes a run: its host, its id there, a fingerprint, and when this was recorded (UTC).

    fingerprint: a checksum of its command line and of the run that Prefect started it for, if any
    """

    host: str
    pid: int
    fingerprint: int
    at: datetime

    @classmethod
    def make(cls, now: datetime, pid: int | None = None) -> Self:
        """The record of a process on this machine; None = this process."""
        process = psutil.Process(pid)
        return cls(platform.node(), process.pid, _fingerprint(process), now)

    @classmethod
    def read(cls, run: FlowRun) -> Self | None:
        """The record in a run's labels; None before its process has written one.

        After a pause, the label may still hold the record of the previous process, which is ignored.
        """
        try:
            host, pid, fingerprint, at = str(run.labels.get(LABEL, "")).split()
            record = cls(host, int(pid), int(fingerprint), datetime.fromisoformat(at))
        except ValueError:
            return None
        if run.state is None or run.state.type == StateType.CANCELLING:
            return record
        return record if record.at >= run.state.timestamp - _CLOCK_TOLERANCE else None

    def __str__(self) -> str:
        return f"{self.host} {self.pid} {self.fingerprint} {self.at.isoformat()}"

    def process_state(self) -> ProcessState:
        """Whether the process is alive; unknown from another machine. One that may not be inspected counts as alive.

        Its start time is not compared, since that changes when the clock is set.
        """
        if self.host != platform.node():
            return "unknown"
        try:
            process = psutil.Process(self.pid)
            is_zombie = process.status() == psutil.STATUS_ZOMBIE
            return "dead" if is_zombie or _fingerprint(process) != self.fingerprint else "alive"
        except psutil.NoSuchProcess:
            return "dead"
        except (psutil.Error, OSError):
            return "alive"


def _fingerprint(process: psutil.Process) -> int:
    texts = [process.environ().get(RUN_VARIABLE, ""), *process.cmdline()]
    return zlib.crc32("\0".join(texts).encode())


def send_heartbeats(flow: Any, flow_run: FlowRun, state: Any) -> None:  # noqa: ARG001 - the names are Prefect's
    """Record the process that executes this run, and renew the record until the run ends; for `on_running`."""
    _write_record(flow_run.id)
    in_context = contextvars.copy_context().run  # with the settings that name Prefect's server
    threading.Thread(target=in_context, args=(_renew_record, flow_run.id), daemon=True).start()


def processes_of_run(run: UUID) -> Iterator[psutil.Process]:
    """Processes on this machine that were started for a run: its engine and all descendants."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(RUN_VARIABLE) == str(run):
                yield process
        except (psutil.Error, OSError):
            continue


def _write_record(run: UUID) -> bool:
    """Write this process's record; returns whether the run is unfinished."""
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(run, {LABEL: str(ProcessRecord.make(datetime.now(UTC)))})
        state = client.read_flow_run(run).state
    return state is None or not state.is_final()


def _renew_record(run: UUID) -> None:
    is_unfinished = True
    while is_unfinished:
        time.sleep(HEARTBEAT_SECONDS)
        try:
            is_unfinished = _write_record(run)
        except (ObjectNotFound, RuntimeError):
            return  # the run was deleted, or has ended and closed its client
        except (httpx.HTTPError, PrefectException):
            continue  # the server may come back


@dataclass(frozen=True)
class RunLiveness:
    """What this machine knows about an unfinished run.

    process: state of the process that executes it; silence: seconds without a new heartbeat
    has_heartbeat: whether it ever sent one; worker_online: None when no worker took the run
    """

    process: ProcessState
    silence: float = 0.0
    has_heartbeat: bool = True
    worker_online: bool | None = None

    def cause_of_death(self) -> str | None:
        """Why the run is dead; None while it may be alive."""
        if self.process == "dead":
            return f"its process on {platform.node()} has ended"
        is_silent = self.process == "unknown" and self.silence >= SILENCE_SECONDS
        if is_silent and (self.has_heartbeat or self.worker_online is False):
            return f"it sent no heartbeat for {self.silence:.0f} s"
        return None


@dataclass(frozen=True)
class CrashedRun:
    """A run that was ended, and why."""

    run: UUID
    name: str
    cause: str

    def __str__(self) -> str:
        return f"{self.name}: {self.cause}"


class SilenceTracker:
    """How long ago the heartbeat of each remote run last changed. clock: monotonic seconds"""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._last_change, self._changed = clock, dict[UUID, tuple[str, float]](), set[UUID]()

    def silence(self, run: FlowRun) -> float:
        """Seconds since the run's heartbeat or state was last seen to change; 0 at the first call."""
        signature, now = f"{run.labels.get(LABEL)} {run.state.id if run.state else None}", self._clock()
        last = self._last_change.get(run.id)
        if last is None or last[0] != signature:
            self._last_change[run.id] = signature, now
            self._changed |= {run.id} if last else set()
        return now - self._last_change[run.id][1]

    def reset(self, keep: Collection[UUID] = ()) -> None:
        """Forget all other runs, for example after the server did not answer for a while."""
        self._last_change = {run: change for run, change in self._last_change.items() if run in keep}

    @property
    def is_waiting(self) -> bool:
        """Whether the heartbeat of some run has not changed since the first call for it."""
        return bool(self._last_change.keys() - self._changed)


@flow(name="reap", flow_run_name=flow_and_time, on_running=[send_heartbeats])
def reap() -> list[str]:
    """End all dead runs; returns which, and why. Runs on other machines are observed for a while first."""
    tracker, ended, log = SilenceTracker(), list[str](), get_run_logger()
    deadline = time.monotonic() + SILENCE_SECONDS + HEARTBEAT_SECONDS
    with get_client(sync_client=True) as client:
        while True:
            for crashed in end_crashed_runs(client, tracker=tracker):
                log.info("%s", crashed)
                ended.append(str(crashed))
            if not tracker.is_waiting or time.monotonic() > deadline:
                break
            time.sleep(HEARTBEAT_SECONDS / 4)
    log.info("%d dead runs", len(ended))
    return ended


def end_crashed_runs(
    client: SyncPrefectClient,
    only: UUID | None = None,
    *,
    tracker: SilenceTracker | None = None,
    now: datetime | None = None,
) -> list[CrashedRun]:
    """End the unfinished runs (all, or `only` one) that are dead: as crashed, or as cancelled where that was requested.

    Remaining processes of a dead run on this machine are killed first, so that they cannot interfere with a new run.
    tracker: of a caller that calls repeatedly; without it, runs on other machines are left alone
    """
    moment, silences = now or datetime.now(UTC), tracker or SilenceTracker()
    ended, runs = [], _unfinished_runs(client, only)
    silences.reset(keep={run.id for run in runs})
    for run in runs:
        cause = _liveness(client, run, silences, moment).cause_of_death()
        if cause is None or run.state is None:
            continue
        for process in processes_of_run(run.id):
            process.kill()
        state = Cancelled if run.state.type == StateType.CANCELLING else Crashed
        current = client.read_flow_run(run.id).state
        # Without `force` the server does not change a run that has ended by itself in the meantime.
        if current is not None and current.id == run.state.id:
            client.set_flow_run_state(run.id, state(message=f"Reaped: {cause}"))
            ended.append(CrashedRun(run.id, run.name, cause))
    return ended


def _liveness(client: SyncPrefectClient, run: FlowRun, tracker: SilenceTracker, now: datetime) -> RunLiveness:
    worker, record = str(run.labels.get("prefect.worker.name", "")), ProcessRecord.read(run)
    process = record.process_state() if record else _state_before_heartbeat(run, worker, now)
    if process != "unknown":
        return RunLiveness(process)
    return RunLiveness(process, tracker.silence(run), record is not None, _is_online(client, run, worker))


def _is_online(client: SyncPrefectClient, run: FlowRun, worker: str) -> bool | None:
    """Whether the run's worker sends heartbeats; None if it has none or the server does not know it."""
    if not worker:
        return None
    try:
        workers = client.read_workers_for_work_pool(str(run.labels.get("prefect.work-pool.name", "")))
    except ObjectNotFound:
        return None
    return next((entry.status == WorkerStatus.ONLINE for entry in workers if entry.name == worker), None)


def _state_before_heartbeat(run: FlowRun, worker: str, now: datetime) -> ProcessState:
    """Of a run without a heartbeat: known only if its worker, by its name, is on this machine."""
    if not worker.endswith(f"@{platform.node()}"):
        return "unknown"
    is_new = run.state is None or now - run.state.timestamp <= START_TIMEOUT
    return "alive" if is_new or next(processes_of_run(run.id), None) is not None else "dead"


def _unfinished_runs(client: SyncPrefectClient, only: UUID | None) -> list[FlowRun]:
    query = FlowRunFilter.model_validate(
        {"state": {"type": {"any_": _UNFINISHED}}, "id": {"any_": [only]} if only else None}
    )
    runs = page = client.read_flow_runs(flow_run_filter=query, limit=_PAGE)
    while len(page) == _PAGE:
        page = client.read_flow_runs(flow_run_filter=query, limit=_PAGE, offset=len(runs))
        runs = runs + page
    return runs
