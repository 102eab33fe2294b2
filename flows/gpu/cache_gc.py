"""What a worker keeps between stages has bounds: the results in a repository's cache, and for how many repositories."""

import shutil
from contextlib import ExitStack, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

CACHE = "cache"
MOST_BYTES = 20 * 2**30  # of results in the cache of one repository
MOST_REPOSITORIES = 8  # those that were used last
_USED, _LOCKS = "used", "*.lock"


def clones_lock(home: Path) -> BaseFileLock:
    """Inside, nobody takes a clone, and nobody else looks after them."""
    return FileLock(home / "upkeep.lock", fallback_to_soft=False)


def folder_size(folder: Path) -> int:
    """Bytes of all files below the folder."""
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())


def prune_caches(
    home: Path, folder: Path, *, most_bytes: int = MOST_BYTES, most_repositories: int = MOST_REPOSITORIES
) -> None:
    """After a stage of the folder's repository: bound its cache, and the number of repositories.

    A cache that is too large begins anew, and the repositories that were used longest ago go. What somebody works with
    stays. All that is lost is fetched from the remotes again.
    """
    with suppress(OSError), clones_lock(home):
        (folder / _USED).touch()
        if folder_size(folder / CACHE) > most_bytes:
            _drop(folder, folder / CACHE)
        others = [one for one in home.iterdir() if one != folder and any(one.glob(_LOCKS))]
        for one in sorted(others, key=_last_used, reverse=True)[most_repositories - 1 :]:
            _drop(one, one)


def _last_used(folder: Path) -> float:
    mark = folder / _USED
    return mark.stat().st_mtime if mark.exists() else 0.0


def _drop(repository: Path, folder: Path) -> None:
    """Delete a folder of a repository if no clone of it is in use; none can be taken meanwhile, since we are alone."""
    with ExitStack() as locks:
        try:
            for one in sorted(repository.glob(_LOCKS)):
                locks.enter_context(FileLock(one, fallback_to_soft=False).acquire(timeout=0))
        except Timeout:
            return
        shutil.rmtree(folder, ignore_errors=True)
