"""Stages that ask for a queue: sent to its work pool as a revision, awaited, and sent again when their worker dies."""

import hashlib
import platform
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectException
from prefect.states import Cancelling

from flows.gpu import dvc_remote
from flows.gpu.remote_config import RemoteConfig
from flows.gpu.work_pool import DEPLOYMENT, PoolNotReady, WorkPool, online_workers
from flows.graph.dvc_graph import StageGraph, StageRunner, TransientStageError, locked_repo
from flows.liveness.run_liveness import SilenceTracker, end_crashed_runs
from flows.project import snapshots
from tierrec_core.base.errors import StageError, TierRecError
from tierrec_core.base.paths import Layout

ATTEMPTS = 3
_POLL_SECONDS, _REAP_EVERY_SECONDS, _OUTAGE_SECONDS = 1.0, 5.0, 120.0
_BEGUN = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")

Listener = Callable[[str, str], None]


class NoWorkerError(Exception):
    """The pool's workers are gone, and the run was taken back."""


def connect_to_server() -> SyncPrefectClient:
    """A client of the server that is named."""
    return get_client(sync_client=True)


class StageDispatcher:
    """Sends stages of one project to one pool. `stop` cancels all that are out, and lets none begin."""

    def __init__(
        self, graph: StageGraph, runner: StageRunner, pool: WorkPool, route: RemoteConfig, listen: Listener
    ) -> None:
        self.pool, self._graph, self._runner, self._route, self._listen = pool, graph, runner, route, listen
        self._out: set[UUID] = set()
        self._lock, self._stopped = threading.Lock(), threading.Event()

    @classmethod
    def find(cls, queue: str, graph: StageGraph, runner: StageRunner, listen: Listener) -> Self:
        """A sender to the queue's pool. Raises Unready where nobody would take a stage."""
        pool = WorkPool.find(queue, connect_to_server)
        return cls(graph, runner, pool, RemoteConfig.find(runner.root, pool), listen)

    def send(self, stage: str) -> bool:
        """Have a stage done elsewhere: whether the remote has its results now; if not, it is to be run here.

        The stages before it are done. Raises StageError in the stage's own words when it ends badly there.
        """
        try:
            with connect_to_server() as client:
                return self._send(stage, client)
        except (
            PoolNotReady,
            NoWorkerError,
            snapshots.RevisionError,
            httpx.HTTPError,
            PrefectException,
        ) as error:
            if self._stopped.is_set():
                raise StageError(f"{stage}: stopped; `tierrec run` continues here") from error
            self._listen(stage, f"cannot be sent to {self.pool.name}, runs here: {error!s:.300}")
            return False

    def stop(self) -> None:
        """Cancel all runs that are out; their workers end them."""
        with self._lock:
            self._stopped.set()
            out = list(self._out)
        if not out:
            return
        with suppress(httpx.HTTPError, PrefectException), connect_to_server() as client:
            for run in out:
                client.set_flow_run_state(run, Cancelling())

    def tidy(self) -> None:
        """Keep a remote that is the project's own from growing without end; after all stages are done."""
        try:
            dvc_remote.prune_remote(self._runner.root)
        except (TierRecError, OSError) as error:
            self._listen(self.pool.name, f"{error!s:.300}")

    def _send(self, stage: str, client: SyncPrefectClient) -> bool:
        revision, ref = self._hand_over(stage)
        for _ in range(ATTEMPTS):
            run = self._adopt(client, stage, revision) or self._submit(stage, revision, ref)
            with self._lock:
                self._out.add(run.id)
                is_late = self._stopped.is_set()
            if is_late:
                client.set_flow_run_state(run.id, Cancelling())
            try:
                run = self._await(client, stage, run)
            finally:
                with self._lock:
                    self._out.discard(run.id)
            if run.state is not None and run.state.is_completed():
                return True
            if run.state is None or not run.state.is_crashed():
                raise _explain(stage, run, self._stopped.is_set())
            self._listen(stage, f"{run.state.message or 'its worker died'}; sent again")
        raise StageError(
            f"{stage}: its worker in pool {self.pool.name} died {ATTEMPTS} times; see its log (out of memory?)"
        )

    def _hand_over(self, stage: str) -> tuple[str, str]:
        """Give the remotes what the stage needs: its revision, and the ref by which git finds that."""
        root, before = self._runner.root, sorted(self._graph.upstream[stage])
        ref = f"{snapshots.PREFIX}stages/{self._project}/{_UNSAFE.sub('-', stage)}"
        try:
            if before:
                self._runner.dvc(stage, "push", *before)
            with locked_repo(root) as repo:
                dvc_remote.ignore_outputs(repo)
                revision = snapshots.record_snapshot(
                    root, f"tierrec: {stage}", ref, also=[Layout(root).dvc_lock.name]
                )
            if self._route.push_to is not None:
                snapshots.push_snapshot(root, self._route.push_to, ref)
        except (TransientStageError, snapshots.RevisionError):
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
            "repository": self._route.repository,
            "remote": dict(self._route.remote),
            "folder": self._route.folder,
        }
        tags = self._tags(stage, revision)
        run = cast(FlowRun, run_deployment(DEPLOYMENT, parameters=parameters, timeout=0, tags=tags))
        self._listen(stage, f"sent to {self.pool.name}")
        return run

    def _adopt(self, client: SyncPrefectClient, stage: str, revision: str) -> FlowRun | None:
        """A run of the same stage of the same revision that an orchestrator before us sent, and which goes on."""
        wanted = FlowRunFilter(
            tags=FlowRunFilterTags(all_=self._tags(stage, revision)),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_BEGUN)),
        )
        found = client.read_flow_runs(flow_run_filter=wanted, limit=1)
        return found[0] if found else None

    def _tags(self, stage: str, revision: str) -> list[str]:
        return ["tierrec", self._project, stage, revision[:12]]

    def _await(self, client: SyncPrefectClient, stage: str, run: FlowRun) -> FlowRun:
        """The run when it is over. Raises Nobody when no worker is left who could begin it."""
        said, answered, looked, watch = "", time.monotonic(), time.monotonic(), SilenceTracker()
        while not self._stopped.wait(_POLL_SECONDS):
            try:
                run = client.read_flow_run(run.id)
                if run.state is not None and run.state.is_final():
                    return run
                if time.monotonic() - looked > _REAP_EVERY_SECONDS:
                    looked = time.monotonic()
                    self._look_after(client, run, watch)
                answered = time.monotonic()
            except (httpx.HTTPError, PrefectException):
                watch.forget()
                if time.monotonic() - answered > _OUTAGE_SECONDS:
                    raise
                continue
            if run.state is not None and run.state.name != said:
                said = str(run.state.name)
                self._listen(stage, f"at {self.pool.name}: {said.lower()}")
        raise StageError(f"{stage}: stopped; `tierrec run` continues here")

    def _look_after(self, client: SyncPrefectClient, run: FlowRun, watch: SilenceTracker) -> None:
        """End a run whose worker is dead, and take one back that nobody would begin."""
        if run.state is None or not run.state.is_scheduled():
            end_crashed_runs(client, only=run.id, watch=watch)
        elif not online_workers(client, self.pool.name):
            client.set_flow_run_state(run.id, Cancelling())
            raise NoWorkerError("it has no worker online any more")


def _explain(stage: str, run: FlowRun, stopped: bool) -> StageError:
    """The error of a run that did not end well: the words of the exception that ended it there."""
    if stopped:
        return StageError(f"{stage}: stopped; `tierrec run` continues here")
    said = (run.state.message if run.state else None) or "it said nothing"
    if run.state is not None and run.state.is_cancelled():
        return StageError(f"{stage}: somebody cancelled it on the server ({said})")
    kind, _, words = said.partition("Error: ")
    if kind.endswith("TransientStage"):
        return TransientStageError(words)
    return StageError(words.removeprefix("error: ") or f"{stage}: {said}")
