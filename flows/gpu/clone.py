"""A worker's own clones of a project: nothing is shared with it but a git remote and a DVC remote.

Each stage that runs has a clone to itself, so that several on one machine do not meet; the clones of a repository share
one DVC cache, which is made for that. Who is done looks after the whole: see flows.gpu.cache_gc.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from flows.gpu import cache_gc, dvc_remote
from flows.gpu.git import git
from flows.project import snapshots
from tierrec_core.base.errors import StageError

VARIABLE = "TIERREC_CLONE"
_KEPT = (".dvc/cache", ".dvc/config.local", ".dvc/tmp", ".venv")
_MOST = 64


@dataclass(frozen=True)
class WorkerClone:
    """A git repository in a folder that nobody else uses for now."""

    folder: Path
    cache: Path

    def check_out(self, repository: str, ref: str, revision: str) -> None:
        """Bring exactly the files of a revision into the folder; DVC's caches and a .venv stay.

        Outputs of earlier revisions go: a single stage takes what lies there for its input, whatever dvc.lock says.
        Raises RevisionError when git cannot fetch, StageError when the ref has moved on.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / ".git").exists():
            git(self.folder, "init", "--quiet")
        found = snapshots.fetch_snapshot(self.folder, repository, ref)
        if found != revision:
            raise StageError(
                f"{repository}: {ref} is {found[:12]}, wanted {revision[:12]}; the stage is sent again"
            )
        git(self.folder, "checkout", "--quiet", "--force", "--detach", revision)
        git(self.folder, "clean", "-ffdxq", *(f"--exclude=**/{name}" for name in _KEPT))

    def project(self, below: str, remote: Mapping[str, str]) -> Path:
        """The project in the clone, where results go to the remote. Raises StageError when DVC does not know it."""
        root = self.folder / below
        if not (root / ".dvc").is_dir():
            raise StageError(f"{root}: has no .dvc folder, wanted a project; commit what `dvc init` made")
        dvc_remote.set_remote(root, remote, self.cache)
        return root


@contextlib.contextmanager
def borrow_clone(repository: str) -> Iterator[WorkerClone]:
    """The first clone of the repository on this machine that is free; a new one where none is.

    They lie in the folder that TIERREC_CLONE names, or else in one of the repository below ~/.tierrec/clones.
    """
    home = Path(os.environ.get(VARIABLE) or Path.home() / ".tierrec" / "clones")
    folder = home / hashlib.sha256(repository.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    place, lock = _first_free(home, folder)
    try:
        yield WorkerClone(folder / str(place), folder / cache_gc.CACHE)
    finally:
        lock.release()
        cache_gc.prune_caches(home, folder)


def _first_free(home: Path, folder: Path) -> tuple[int, FileLock]:
    """A place that is now ours, and its lock."""
    with cache_gc.clones_lock(home):
        for place in range(_MOST):
            lock = FileLock(folder / f"{place}.lock", fallback_to_soft=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return place, lock
    raise StageError(f"{folder}: {_MOST} clones are in use; give the pool a lower limit")
