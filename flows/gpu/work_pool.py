"""Asks the Prefect server whether a work pool has a worker that would run a stage."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlparse

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import get_current_settings

DEPLOYMENT = "run-stage/stage"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class PoolNotReady(Exception):  # noqa: N818 - no error: the stage runs here instead, with a message why
    """No worker of the pool would run a stage, and why."""


@dataclass(frozen=True)
class WorkPool:
    """A work pool with workers online. is_here: whether all of them are on this machine."""

    name: str
    workers: tuple[str, ...]
    is_here: bool

    @classmethod
    def find(cls, name: str, connect: Callable[[], SyncPrefectClient]) -> Self:
        """Ask the server. Raises PoolNotReady, which says what is missing and how to get it."""
        if not get_current_settings().api.url:
            raise PoolNotReady("no Prefect server is named; `tierrec stack up` starts one")
        try:
            with connect() as client:
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
            raise PoolNotReady(f"the server has no work pool {name}; `tierrec stack up` makes it") from error
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
    return urlparse(get_current_settings().api.url or "").hostname in _LOOPBACK
