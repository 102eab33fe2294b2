"""One flow at a time changes a project folder; the others wait and say for whom."""

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
    """Somebody else changes the project."""


class LockHolder(Params):
    """Who changes the project: what it is, its process, and since when (UTC)."""

    who: str
    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"{self.who} (pid {self.pid} on {self.host}, since {self.since})"


@contextlib.contextmanager
def project_lock(
    root: Path, who: str, say: Callable[[str], None] = print, *, patient: bool = True
) -> Iterator[None]:
    """Inside, nobody else changes the project; waits for whoever does, and says so once for each of them.

    Who is not patient does not wait: raises BusyError, which names the holder.
    The lock is the system's, so it is gone with its holder, however that ends. Not to be taken twice in one process.
    """
    lock = FileLock(_path(root, "lock"), is_singleton=False, thread_local=False, fallback_to_soft=False)
    _path(root, "lock").parent.mkdir(parents=True, exist_ok=True)
    told = ""
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            before = str(read_lock_holder(root) or "another process")
            if not patient:
                raise BusyError(
                    f"{who}: the project is changed by {before}; try again when it is done"
                ) from None
            if before != told:
                say(f"{who}: waits for {before}")
                told = before
            time.sleep(_POLL_SECONDS)
    try:
        artifacts.write_json(_myself(who).model_dump(), _path(root, "json"))
        yield
    finally:
        _path(root, "json").unlink(missing_ok=True)
        lock.release()


def read_lock_holder(root: Path) -> LockHolder | None:
    """Who wrote last that the project is theirs. Killed holders leave this behind: only the lock itself proves one."""
    path = _path(root, "json")
    try:
        return parse(LockHolder, artifacts.read_json(path), str(path))
    except TierRecError:
        return None


def _myself(who: str) -> LockHolder:
    return LockHolder(
        who=who,
        pid=os.getpid(),
        host=platform.node(),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _path(root: Path, kind: str) -> Path:
    return Layout(root).loop / f"project.{kind}"
