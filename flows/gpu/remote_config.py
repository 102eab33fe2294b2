"""How the workers of a pool reach a project: a git repository for revisions, and a DVC remote for outputs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from flows.gpu import dvc_remote
from flows.gpu.work_pool import PoolNotReady, WorkPool
from flows.project.git import RevisionError, run_git
from tierrec_core.base.errors import TierRecError

VARIABLE = "TIERREC_REPOSITORY"
_ORIGIN = "origin"
_NO_RUN_CACHE = ("http://", "https://")


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
            raise PoolNotReady(f"the project is in no git repository, so no revision can be sent ({error})") from error
        repository, push_to = _repository(Path(top), pool)
        return cls(repository, push_to, folder.rstrip("/"), _remote(root, pool))


def _repository(top: Path, pool: WorkPool) -> tuple[str, str | None]:
    """Workers on this machine fetch from the project itself, so that nothing is pushed."""
    named = os.environ.get(VARIABLE)
    if named:
        return named, named
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
        raise PoolNotReady(f"DVC keeps no run-cache in {remote['url']}; use a remote of another kind")
    return remote


def _without_password(url: str) -> str:
    """The URL without credentials, since the worker has its own."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and "@" in parts.netloc:
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return url
