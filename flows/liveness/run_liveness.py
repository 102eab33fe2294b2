"""The flow `reap`: runs whose processes are dead end as crashed, so that they hold no slot and others take over.

On the machine of a run's process, the process is asked, by its id and what it was started with. From elsewhere a run is
dead when it was not heard of for a while, by the watcher's own clock: those of two machines are never compared.
"""

import platform
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from flows.liveness.process_heartbeat import (
    BEAT_SECONDS,
    CLAIM,
    ProcessRecord,
    Sign,
    processes_of_run,
    send_heartbeats,
)

UNFINISHED = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
PATIENCE = timedelta(seconds=30)  # from a run's being taken to its claim
SILENCE_SECONDS = 6 * BEAT_SECONDS
_WORKER, _POOL, _PAGE = "prefect.worker.name", "prefect.work-pool.name", 200


@dataclass(frozen=True)
class RunLiveness:
    """What can be told of an unfinished run from here.

    process: of the engine that runs it; silence: seconds in which nothing new was heard of it
    is_claimed: whether its process ever spoke; worker_online: by its heartbeats, None when nobody took the run
    """

    process: Sign
    silence: float = 0.0
    is_claimed: bool = True
    worker_online: bool | None = None

    def cause_of_death(self) -> str | None:
        """Why the run is dead, for people; None while it may live."""
        if self.process == "gone":
            return f"its process is gone from {platform.node()}"
        is_silent = self.process == "unknown" and self.silence >= SILENCE_SECONDS
        if is_silent and (self.is_claimed or self.worker_online is False):
            return f"it was not heard of for {self.silence:.0f} s"
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
    """When something new was last heard of each run that cannot be asked. clock: seconds that only ever grow"""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._heard, self._talking = clock, dict[UUID, tuple[str, float]](), set[UUID]()

    def silence(self, run: FlowRun) -> float:
        """Seconds since a look at the run told something new; 0 at the first."""
        word, now = f"{run.labels.get(CLAIM)} {run.state.id if run.state else None}", self._clock()
        known = self._heard.get(run.id)
        if known is None or known[0] != word:
            self._heard[run.id] = word, now
            self._talking |= {run.id} if known else set()
        return now - self._heard[run.id][1]

    def forget(self, but: Collection[UUID] = ()) -> None:
        """Begin anew, as after a time in which the server was away and nobody could be heard; but for some runs."""
        self._heard = {run: heard for run, heard in self._heard.items() if run in but}

    @property
    def is_waiting(self) -> bool:
        """Whether some run has said nothing new since the first look at it."""
        return bool(self._heard.keys() - self._talking)


@flow(name="reap", on_running=[send_heartbeats])
def reap() -> list[str]:
    """End all runs whose processes are dead; which they were, and why. Runs elsewhere are watched for a while."""
    watch, ended, log = SilenceTracker(), list[str](), get_run_logger()
    until = time.monotonic() + SILENCE_SECONDS + BEAT_SECONDS
    with get_client(sync_client=True) as client:
        while True:
            for one in end_crashed_runs(client, watch=watch):
                log.info("%s", one)
                ended.append(str(one))
            if not watch.is_waiting or time.monotonic() > until:
                break
            time.sleep(BEAT_SECONDS / 4)
    log.info("%d dead runs", len(ended))
    return ended


def end_crashed_runs(
    client: SyncPrefectClient,
    only: UUID | None = None,
    *,
    watch: SilenceTracker | None = None,
    now: datetime | None = None,
) -> list[CrashedRun]:
    """End the unfinished runs (all, or `only` one) that are dead: as crashed, or as cancelled where that was asked for.

    What a dead run left on this machine is killed first, so that nothing of it writes beside whoever takes over.
    watch: kept by who looks again and again; without it, runs on other machines are let be
    """
    moment, watched, workers = now or datetime.now(UTC), watch or SilenceTracker(), _Workers(client)
    ended, runs = [], list(_unfinished(client, only))
    watched.forget(but={run.id for run in runs})
    for run in runs:
        cause = _look(run, workers, watched, moment).cause_of_death()
        if cause is None or run.state is None:
            continue
        for process in processes_of_run(run.id):
            process.kill()
        state = Cancelled if run.state.type == StateType.CANCELLING else Crashed
        # A run that ended by itself while we looked stays as it ended: without force the server refuses to change it.
        if _is_as_it_was(client, run):
            client.set_flow_run_state(run.id, state(message=f"Reaped: {cause}"))
            ended.append(CrashedRun(run.id, run.name, cause))
    return ended


class _Workers:
    """Which workers are online, asked once a pool."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client, self._pools = client, dict[str, dict[str, bool]]()

    def online(self, pool: str, name: str) -> bool | None:
        if pool not in self._pools:
            try:
                known = self._client.read_workers_for_work_pool(pool)
            except ObjectNotFound:
                known = []
            self._pools[pool] = {one.name: one.status == WorkerStatus.ONLINE for one in known}
        return self._pools[pool].get(name)


def _look(run: FlowRun, workers: _Workers, watch: SilenceTracker, now: datetime) -> RunLiveness:
    worker, pool = str(run.labels.get(_WORKER, "")), str(run.labels.get(_POOL, ""))
    claimed = ProcessRecord.read(run)
    process = claimed.sign() if claimed else _unclaimed(run, worker, now)
    if process != "unknown":
        return RunLiveness(process)
    silence = watch.silence(run)
    return RunLiveness(
        process, silence, claimed is not None, workers.online(pool, worker) if worker else None
    )


def _unclaimed(run: FlowRun, worker: str, now: datetime) -> Sign:
    """Of a run that has not spoken yet: known only where its worker was on this machine, which its name tells."""
    if not worker.endswith(f"@{platform.node()}"):
        return "unknown"
    is_new = run.state is None or now - run.state.timestamp <= PATIENCE
    return "lives" if is_new or next(processes_of_run(run.id), None) is not None else "gone"


def _unfinished(client: SyncPrefectClient, only: UUID | None) -> Iterator[FlowRun]:
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)),
        id=FlowRunFilterId(any_=[only]) if only else None,
    )
    found = page = client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE)
    while len(page) == _PAGE:
        page = client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(found))
        found = found + page
    yield from found


def _is_as_it_was(client: SyncPrefectClient, run: FlowRun) -> bool:
    state = client.read_flow_run(run.id).state
    return state is not None and run.state is not None and state.id == run.state.id
