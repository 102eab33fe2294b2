"""The flow `reap`: ends runs whose process has died as crashed, so that they free their concurrency slots.

On the run's own machine its process is checked by id and fingerprint. From another machine a run is dead when its
heartbeat has not changed for a while, by the observer's clock: clocks of two machines are never compared.
"""

import platform
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from flows.liveness.process_heartbeat import (
    HEARTBEAT_SECONDS,
    LABEL,
    ProcessRecord,
    ProcessState,
    processes_of_run,
    send_heartbeats,
)

_UNFINISHED = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
START_TIMEOUT = timedelta(seconds=30)  # from a worker's taking a run to its first heartbeat
SILENCE_SECONDS = 6 * HEARTBEAT_SECONDS
_PAGE = 200


@dataclass(frozen=True)
class RunLiveness:
    """What this machine knows of an unfinished run.

    process: state of the process that executes it; silence: seconds without a new heartbeat
    has_heartbeat: whether there ever was one; worker_online: None when no worker took the run
    """

    process: ProcessState
    silence: float = 0.0
    has_heartbeat: bool = True
    worker_online: bool | None = None

    def cause_of_death(self) -> str | None:
        """Why the run is dead; None while it may be alive."""
        if self.process == "dead":
            return f"its process is gone from {platform.node()}"
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
        """Forget all other runs, as after a time in which the server did not answer."""
        self._last_change = {run: change for run, change in self._last_change.items() if run in keep}

    @property
    def is_waiting(self) -> bool:
        """Whether the heartbeat of some run has not changed since the first call for it."""
        return bool(self._last_change.keys() - self._changed)


@flow(name="reap", on_running=[send_heartbeats])
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
        # Without force the server refuses to change a run that has ended by itself in the meantime.
        if _is_unchanged(client, run):
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
    return next((known.status == WorkerStatus.ONLINE for known in workers if known.name == worker), None)


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


def _is_unchanged(client: SyncPrefectClient, run: FlowRun) -> bool:
    state = client.read_flow_run(run.id).state
    return state is not None and run.state is not None and state.id == run.state.id
