"""The lock by which only one flow at a time changes a project; others wait and print what they wait for."""

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from tierrec_core.base import artifacts
from tierrec_core.base.errors import TierRecError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Params, parse

_POLL_SECONDS = 0.5


class BusyError(TierRecError):
    """Another process changes the project."""


class LockHolder(Params):
    """What changes the project: a description, its process, and since when (UTC)."""

    who: str
    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"{self.who} (pid {self.pid} on {self.host}, since {self.since})"


@contextlib.contextmanager
def project_lock(root: Path, name: str, say: Callable[[str], None] = print, *, wait: bool = True) -> Iterator[None]:
    """Hold the project's lock; waits for the holder, and reports each holder once.

    wait: otherwise raises BusyError, which names the holder
    The operating system releases the lock with its process, however that ends. Not reentrant in one process.
    """
    lock = FileLock(_path(root, "lock"), is_singleton=False, thread_local=False, fallback_to_soft=False)
    _path(root, "lock").parent.mkdir(parents=True, exist_ok=True)
    reported = ""
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            holder = str(read_lock_holder(root) or "another process")
            if not wait:
                raise BusyError(f"{name}: the project is changed by {holder}; try again when it is done") from None
            if holder != reported:
                say(f"{name}: waits for {holder}")
                reported = holder
            time.sleep(_POLL_SECONDS)
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        own = LockHolder(who=name, pid=os.getpid(), host=platform.node(), since=since)
        artifacts.write_json(own.model_dump(), _path(root, "json"))
        yield
    finally:
        _path(root, "json").unlink(missing_ok=True)
        lock.release()


def read_lock_holder(root: Path) -> LockHolder | None:
    """The last holder on record. A killed holder leaves its record behind: only the lock proves that it is held."""
    path = _path(root, "json")
    try:
        return parse(LockHolder, artifacts.read_json(path), str(path))
    except TierRecError:
        return None


def _path(root: Path, suffix: str) -> Path:
    return Layout(root).loop / f"project.{suffix}"
