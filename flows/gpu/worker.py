"""The flow `run-stage`: a worker runs one stage of a revision in a clone of its own and pushes the outputs.

A clone shares nothing with the project but a git remote and a DVC remote. Each running stage has a clone to itself; the
clones of a repository share one DVC cache. The size of each cache and the number of repositories are limited.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout
from prefect import flow, get_run_logger

from flows.gpu import dvc_remote
from flows.graph.dvc_graph import StageGraph, StageRunner
from flows.liveness import RUN_VARIABLE, send_heartbeats
from flows.project.git import run_git
from flows.project.snapshots import fetch_snapshot
from tierrec_core.base.errors import StageError

CLONES_VARIABLE = "TIERREC_CLONE"
_NOT_CLEANED = (".dvc/cache", ".dvc/config.local", ".dvc/tmp", ".venv")
_MAX_CLONES = 64
CACHE = "cache"
MAX_BYTES = 20 * 2**30  # of the cache of one repository
MAX_REPOSITORIES = 8
_LAST_USE, _LOCKS = "used", "*.lock"
_POLL_SECONDS = 0.5


@flow(name="run-stage", flow_run_name="{stage}", on_running=[send_heartbeats], validate_parameters=False)
def run_stage_in_clone(
    stage: str, revision: str, ref: str, repository: str, remote: dict[str, str], folder: str = ""
) -> None:
    """Run one stage of a revision, unless the remote has its outputs already, and push the outputs.

    repository, ref: where git finds the revision; remote: of DVC, see flows.gpu.dvc_remote; folder: of the project
    inside the repository. Raises StageError with the stage's own error, RevisionError when git cannot fetch.
    """
    log = get_run_logger()
    with _killed_with_worker(), borrow_clone(repository) as clone:
        log.info("%s of %s, in %s", stage, revision[:12], clone.folder)
        clone.check_out(repository, ref, revision)
        root = clone.project(folder, remote)
        own_code = {"PYTHONPATH": str(root)}  # this process may have been started with a path to another clone
        runner = StageRunner(root, lambda _, line: log.info("%s", line), own_code)
        upstream = sorted(StageGraph.read(root).upstream[stage])
        if upstream:  # a dependency may be a folder of outputs, which DVC does not fetch by itself
            runner.dvc(stage, "pull", *upstream)
        runner.run(stage, pull=True)
        runner.dvc(stage, "push", "--run-cache", stage)


@contextlib.contextmanager
def _killed_with_worker() -> Iterator[None]:
    """Kill this process when the worker that started it dies, since nothing else could then cancel this run.

    flows.graph.process_guard ends the stage too, and another worker takes over.
    """
    finished, worker = threading.Event(), os.getppid()

    def watch() -> None:
        while not finished.wait(_POLL_SECONDS):
            if os.getppid() != worker:
                os.kill(os.getpid(), signal.SIGKILL)

    if RUN_VARIABLE in os.environ:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        finished.set()


@dataclass(frozen=True)
class WorkerClone:
    """A git repository in a folder that no other process uses."""

    folder: Path
    cache: Path

    def check_out(self, repository: str, ref: str, revision: str) -> None:
        """Make the folder contain exactly the files of a revision, apart from DVC's caches and a .venv.

        Outputs of earlier revisions are deleted, since a single stage reads them even if dvc.lock names others.
        Raises RevisionError when git cannot fetch, StageError when the ref has moved on.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / ".git").exists():
            run_git(self.folder, "init", "--quiet")
        fetched = fetch_snapshot(self.folder, repository, ref)
        if fetched != revision:
            raise StageError(f"{repository}: {ref} is {fetched[:12]}, wanted {revision[:12]}; the stage is sent again")
        run_git(self.folder, "checkout", "--quiet", "--force", "--detach", revision)
        run_git(self.folder, "clean", "-ffdxq", *(f"--exclude=**/{name}" for name in _NOT_CLEANED))

    def project(self, subfolder: str, remote: Mapping[str, str]) -> Path:
        """The project in the clone, set up to push to the remote. Raises StageError for a folder without .dvc."""
        root = self.folder / subfolder
        if not (root / ".dvc").is_dir():
            raise StageError(f"{root}: has no .dvc folder, wanted a project; commit the files of `dvc init`")
        dvc_remote.set_remote(root, remote, self.cache)
        return root


@contextlib.contextmanager
def borrow_clone(repository: str) -> Iterator[WorkerClone]:
    """The first free clone of the repository on this machine; a new one when all are in use.

    Clones lie below the folder that TIERREC_CLONE names, else below ~/.tierrec/clones.
    """
    home = Path(os.environ.get(CLONES_VARIABLE) or Path.home() / ".tierrec" / "clones")
    folder = home / hashlib.sha256(repository.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    number, lock = _lock_first_free(home, folder)
    try:
        yield WorkerClone(folder / str(number), folder / CACHE)
    finally:
        lock.release()
        prune_caches(home, folder)


def _lock_first_free(home: Path, folder: Path) -> tuple[int, FileLock]:
    with _clones_lock(home):
        for number in range(_MAX_CLONES):
            lock = FileLock(folder / f"{number}.lock", fallback_to_soft=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return number, lock
    raise StageError(f"{folder}: {_MAX_CLONES} clones are in use; give the pool a lower limit")


def _clones_lock(home: Path) -> BaseFileLock:
    """Held while clones are borrowed or pruned."""
    return FileLock(home / "upkeep.lock", fallback_to_soft=False)


def prune_caches(
    home: Path, folder: Path, *, max_bytes: int = MAX_BYTES, max_repositories: int = MAX_REPOSITORIES
) -> None:
    """After a stage of the folder's repository: empty its cache if too large, and delete surplus repositories.

    The least recently used repositories are deleted. Clones in use stay. Everything deleted can be fetched again from
    the remotes.
    """
    with contextlib.suppress(OSError), _clones_lock(home):
        (folder / _LAST_USE).touch()
        if dvc_remote.folder_size(folder / CACHE) > max_bytes:
            _delete(folder, folder / CACHE)
        others = [path for path in home.iterdir() if path != folder and any(path.glob(_LOCKS))]
        for other in sorted(others, key=_last_use, reverse=True)[max_repositories - 1 :]:
            _delete(other, other)


def _last_use(folder: Path) -> float:
    path = folder / _LAST_USE
    return path.stat().st_mtime if path.exists() else 0.0


def _delete(repository: Path, folder: Path) -> None:
    """Delete a folder of a repository unless one of its clones is in use; needs `_clones_lock`."""
    with contextlib.ExitStack() as locks:
        try:
            for path in sorted(repository.glob(_LOCKS)):
                locks.enter_context(FileLock(path, fallback_to_soft=False).acquire(timeout=0))
        except Timeout:
            return
        shutil.rmtree(folder, ignore_errors=True)
