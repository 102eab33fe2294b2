"""Dispatches stages to a work pool as a git revision, awaits them, and resends them when their worker dies."""

import hashlib
import platform
import re
import threading
import time
from contextlib import suppress
from typing import Self, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectException
from prefect.states import Cancelling

from flows.gpu import dvc_remote
from flows.gpu.work_pool import DEPLOYMENT, PoolNotReady, RemoteConfig, WorkPool, online_workers
from flows.graph.dvc_graph import Listener, StageGraph, StageRunner, TransientStageError, locked_repo
from flows.liveness import SilenceTracker, end_crashed_runs
from flows.project import snapshots
from flows.project.git import RevisionError
from tierrec_core.base.errors import StageError, TierRecError
from tierrec_core.base.paths import Layout

MAX_ATTEMPTS = 3
_POLL_SECONDS, _CHECK_SECONDS, _OUTAGE_SECONDS = 1.0, 5.0, 120.0
_UNFINISHED = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


class StageDispatcher:
    """Sends stages of one project to one pool. `stop` cancels those that are running and prevents new ones."""

    def __init__(
        self, graph: StageGraph, runner: StageRunner, pool: WorkPool, remote: RemoteConfig, listen: Listener
    ) -> None:
        self.pool, self._graph, self._runner, self._remote, self._listen = pool, graph, runner, remote, listen
        self._running: set[UUID] = set()
        self._lock, self._stopped = threading.Lock(), threading.Event()

    @classmethod
    def find(cls, queue: str, graph: StageGraph, runner: StageRunner, listen: Listener) -> Self:
        """A dispatcher to the queue's pool. Raises PoolNotReady when no worker would run a stage."""
        pool = WorkPool.find(queue)
        return cls(graph, runner, pool, RemoteConfig.find(runner.root, pool), listen)

    def send(self, stage: str) -> bool:
        """Run a stage on a worker; returns whether the remote has its outputs. If not, run it here.

        Its upstream stages must be done. Raises StageError with the stage's own error when it fails.
        """
        try:
            with get_client(sync_client=True) as client:
                return self._send(stage, client)
        except (PoolNotReady, RevisionError, httpx.HTTPError, PrefectException) as error:
            if self._stopped.is_set():
                raise StageError(f"{stage}: stopped; `tierrec run` resumes here") from error
            self._listen(stage, f"cannot be sent to {self.pool.name}, runs here: {error!s:.300}")
            return False

    def stop(self) -> None:
        """Cancel all runs; their workers end them."""
        with self._lock:
            self._stopped.set()
            runs = list(self._running)
        if not runs:
            return
        with suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
            for run in runs:
                client.set_flow_run_state(run, Cancelling())

    def prune_remote(self) -> None:
        """Delete outdated outputs from a remote of the project's own; after all stages are done."""
        try:
            dvc_remote.prune_remote(self._runner.root)
        except (TierRecError, OSError) as error:
            self._listen(self.pool.name, f"{error!s:.300}")

    def _send(self, stage: str, client: SyncPrefectClient) -> bool:
        revision, ref = self._publish(stage)
        for _ in range(MAX_ATTEMPTS):
            run = self._find_run(client, stage, revision) or self._submit(stage, revision, ref)
            with self._lock:
                self._running.add(run.id)
                is_late = self._stopped.is_set()
            if is_late:
                client.set_flow_run_state(run.id, Cancelling())
            try:
                run = self._await(client, stage, run)
            finally:
                with self._lock:
                    self._running.discard(run.id)
            if run.state is not None and run.state.is_completed():
                return True
            if run.state is None or not run.state.is_crashed():
                raise _explain(stage, run, self._stopped.is_set())
            self._listen(stage, f"{run.state.message or 'its worker died'}; sent again")
        raise StageError(
            f"{stage}: its worker in pool {self.pool.name} died {MAX_ATTEMPTS} times; see its log (out of memory?)"
        )

    def _publish(self, stage: str) -> tuple[str, str]:
        """Push what the stage needs to the remotes; returns the revision and its ref."""
        root, upstream = self._runner.root, sorted(self._graph.upstream[stage])
        ref = f"{snapshots.PREFIX}stages/{self._project}/{_UNSAFE.sub('-', stage)}"
        try:
            if upstream:
                self._runner.dvc(stage, "push", *upstream)
            with locked_repo(root) as repo:
                dvc_remote.ignore_outputs(repo)
                revision = snapshots.record_snapshot(root, f"tierrec: {stage}", ref, also=[Layout(root).dvc_lock.name])
            if self._remote.push_to is not None:
                snapshots.push_snapshot(root, self._remote.push_to, ref)
        except (TransientStageError, RevisionError):
            raise
        except TierRecError as error:
            raise PoolNotReady(str(error)) from error
        return revision, ref

    @property
    def _project(self) -> str:
        return hashlib.sha256(f"{platform.node()}:{self._runner.root.resolve()}".encode()).hexdigest()[:8]

    def _submit(self, stage: str, revision: str, ref: str) -> FlowRun:
        parameters = {
            "stage": stage,
            "revision": revision,
            "ref": ref,
            "repository": self._remote.repository,
            "remote": dict(self._remote.remote),
            "folder": self._remote.folder,
        }
        tags = self._tags(stage, revision)
        run = run_deployment(DEPLOYMENT, parameters=parameters, timeout=0, tags=tags)
        self._listen(stage, f"sent to {self.pool.name}")
        return cast(FlowRun, run)

    def _find_run(self, client: SyncPrefectClient, stage: str, revision: str) -> FlowRun | None:
        """An unfinished run of the same stage and revision, started by an earlier orchestrator."""
        query = FlowRunFilter.model_validate(
            {"tags": {"all_": self._tags(stage, revision)}, "state": {"type": {"any_": _UNFINISHED}}}
        )
        runs = client.read_flow_runs(flow_run_filter=query, limit=1)
        return runs[0] if runs else None

    def _tags(self, stage: str, revision: str) -> list[str]:
        return ["tierrec", self._project, stage, revision[:12]]

    def _await(self, client: SyncPrefectClient, stage: str, run: FlowRun) -> FlowRun:
        """Wait until the run has ended. Raises PoolNotReady when no worker is left to start it."""
        reported, answered, checked, tracker = "", time.monotonic(), time.monotonic(), SilenceTracker()
        while not self._stopped.wait(_POLL_SECONDS):
            try:
                run = client.read_flow_run(run.id)
                if run.state is not None and run.state.is_final():
                    return run
                if time.monotonic() - checked > _CHECK_SECONDS:
                    checked = time.monotonic()
                    self._check(client, run, tracker)
                answered = time.monotonic()
            except (httpx.HTTPError, PrefectException):
                tracker.reset()
                if time.monotonic() - answered > _OUTAGE_SECONDS:
                    raise
                continue
            if run.state is not None and run.state.name != reported:
                reported = str(run.state.name)
                self._listen(stage, f"at {self.pool.name}: {reported.lower()}")
        raise StageError(f"{stage}: stopped; `tierrec run` resumes here")

    def _check(self, client: SyncPrefectClient, run: FlowRun, tracker: SilenceTracker) -> None:
        """End a run whose worker is dead, and cancel one that no worker would start."""
        if run.state is None or not run.state.is_scheduled():
            end_crashed_runs(client, only=run.id, tracker=tracker)
        elif not online_workers(client, self.pool.name):
            client.set_flow_run_state(run.id, Cancelling())
            raise PoolNotReady("it no longer has a worker online")


def _explain(stage: str, run: FlowRun, stopped: bool) -> StageError:
    """The error of a failed run, with the message of the exception that ended it on the worker."""
    if stopped:
        return StageError(f"{stage}: stopped; `tierrec run` resumes here")
    message = (run.state.message if run.state else None) or "no message"
    if run.state is not None and run.state.is_cancelled():
        return StageError(f"{stage}: it was cancelled on the server ({message}); `tierrec run` sends it again")
    kind, _, details = message.partition("Error: ")
    if kind.endswith("TransientStage"):
        return TransientStageError(details)
    return StageError(details.removeprefix("error: ") or f"{stage}: {message}")
