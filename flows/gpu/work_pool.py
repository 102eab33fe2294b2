"""Whether a work pool has a worker that would run a stage, and how its workers reach the project."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import get_current_settings

from flows.gpu import dvc_remote
from flows.project.git import RevisionError, run_git
from tierrec_core.base.errors import TierRecError

DEPLOYMENT, REPOSITORY_VARIABLE = "run-stage/stage", "TIERREC_REPOSITORY"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ORIGIN = "origin"
_NO_RUN_CACHE = ("http://", "https://")


class PoolNotReady(Exception):  # noqa: N818 - not an error: the stage runs here instead, and the reason is printed
    """No worker of the pool would run a stage, and why."""


@dataclass(frozen=True)
class WorkPool:
    """A work pool with workers online. is_here: whether all of them are on this machine."""

    name: str
    workers: tuple[str, ...]
    is_here: bool

    @classmethod
    def find(cls, name: str) -> Self:
        """Query the server. Raises PoolNotReady, which says what is missing and how to add it."""
        if not get_current_settings().api.url:
            raise PoolNotReady("no Prefect server is configured; `tierrec stack up` starts one")
        try:
            with get_client(sync_client=True) as client:
                return cls._query(name, client)
        except (httpx.HTTPError, PrefectException, RuntimeError) as error:
            raise PoolNotReady(
                f"the Prefect server does not answer ({type(error).__name__}: {error!s:.120})"
            ) from error

    @classmethod
    def _query(cls, name: str, client: SyncPrefectClient) -> Self:
        try:
            pool = client.read_work_pool(name)
        except ObjectNotFound as error:
            raise PoolNotReady(f"the server has no work pool {name}; `tierrec stack up` creates it") from error
        if pool.is_paused:
            raise PoolNotReady(f"work pool {name} is paused; `prefect work-pool resume {name}`")
        workers = online_workers(client, name)
        if not workers:
            raise PoolNotReady(f"work pool {name} has no worker online; `prefect worker start --pool {name}`")
        try:
            client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound as error:
            raise PoolNotReady(f"the server has no deployment {DEPLOYMENT}; `prefect deploy --name stage`") from error
        return cls(name, workers, all(_is_here(worker) for worker in workers))


def online_workers(client: SyncPrefectClient, pool: str) -> tuple[str, ...]:
    """Names of the pool's workers with recent heartbeats."""
    workers = client.read_workers_for_work_pool(pool)
    return tuple(sorted(worker.name for worker in workers if worker.status == WorkerStatus.ONLINE))


def _is_here(worker: str) -> bool:
    """Whether a worker named NAME@HOST is on this machine; other names are here if the server is on loopback."""
    if "@" in worker:
        return worker.rpartition("@")[2] == platform.node()
    return urlsplit(get_current_settings().api.url or "").hostname in _LOOPBACK


@dataclass(frozen=True)
class RemoteConfig:
    """How a worker fetches a revision and returns the outputs.

    repository: where it fetches; push_to: where revisions are pushed for it, None when it fetches from the project
    folder: of the project inside the repository; remote: of DVC, see flows.gpu.dvc_remote
    """

    repository: str
    push_to: str | None
    folder: str
    remote: Mapping[str, str]

    @classmethod
    def find(cls, root: Path, pool: WorkPool) -> Self:
        """The configuration for a pool. Raises PoolNotReady, which says what is missing."""
        try:
            top = run_git(root, "rev-parse", "--show-toplevel")
            folder = run_git(root, "rev-parse", "--show-prefix")
        except RevisionError as error:
            raise PoolNotReady(f"the project is not in a git repository; `git init` makes one ({error})") from error
        repository, push_to = _repository(Path(top), pool)
        return cls(repository, push_to, folder.rstrip("/"), _remote(root, pool))


def _repository(top: Path, pool: WorkPool) -> tuple[str, str | None]:
    """Workers on this machine fetch from the project itself, so that nothing is pushed."""
    configured = os.environ.get(REPOSITORY_VARIABLE)
    if configured:
        return configured, configured
    if pool.is_here:
        return str(top), None
    try:
        return _without_password(run_git(top, "remote", "get-url", _ORIGIN)), _ORIGIN
    except RevisionError as error:
        raise PoolNotReady(
            f"workers of pool {pool.name} are on other machines, and the project has no git remote {_ORIGIN}; "
            f"`git remote add {_ORIGIN} URL`"
        ) from error


def _remote(root: Path, pool: WorkPool) -> Mapping[str, str]:
    try:
        remote = dvc_remote.read_remote(root) or (dvc_remote.ensure_remote(root) if pool.is_here else None)
    except TierRecError as error:
        raise PoolNotReady(str(error)) from error
    if remote is None:
        raise PoolNotReady(
            f"workers of pool {pool.name} are on other machines, and the project has no DVC remote; "
            "`dvc remote add --default NAME URL`"
        )
    if remote["url"].startswith(_NO_RUN_CACHE):
        raise PoolNotReady(f"DVC cannot store a run-cache in {remote['url']}; use a remote of another kind")
    return remote


def _without_password(url: str) -> str:
    """The URL without credentials, since the worker has its own."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and "@" in parts.netloc:
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return url
