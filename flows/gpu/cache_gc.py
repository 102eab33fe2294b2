"""Limits what a worker keeps between stages: the size of each DVC cache, and the number of repositories."""

import shutil
from contextlib import ExitStack, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

CACHE = "cache"
MAX_BYTES = 20 * 2**30  # of the cache of one repository
MAX_REPOSITORIES = 8
_LAST_USE, _LOCKS = "used", "*.lock"


def clones_lock(home: Path) -> BaseFileLock:
    """Held while clones are borrowed or pruned."""
    return FileLock(home / "upkeep.lock", fallback_to_soft=False)


def folder_size(folder: Path) -> int:
    """Bytes of all files below the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def prune_caches(
    home: Path, folder: Path, *, max_bytes: int = MAX_BYTES, max_repositories: int = MAX_REPOSITORIES
) -> None:
    """After a stage of the folder's repository: empty its cache if too large, and delete surplus repositories.

    The least recently used repositories are deleted. Clones in use stay. Everything deleted can be fetched again from
    the remotes.
    """
    with suppress(OSError), clones_lock(home):
        (folder / _LAST_USE).touch()
        if folder_size(folder / CACHE) > max_bytes:
            _delete(folder, folder / CACHE)
        others = [path for path in home.iterdir() if path != folder and any(path.glob(_LOCKS))]
        for other in sorted(others, key=_last_use, reverse=True)[max_repositories - 1 :]:
            _delete(other, other)


def _last_use(folder: Path) -> float:
    path = folder / _LAST_USE
    return path.stat().st_mtime if path.exists() else 0.0


def _delete(repository: Path, folder: Path) -> None:
    """Delete a folder of a repository unless one of its clones is in use; needs `clones_lock`."""
    with ExitStack() as locks:
        try:
            for path in sorted(repository.glob(_LOCKS)):
                locks.enter_context(FileLock(path, fallback_to_soft=False).acquire(timeout=0))
        except Timeout:
            return
        shutil.rmtree(folder, ignore_errors=True)
