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

_POLL_SECONDS = 0.5


class BusyError(TierRecError):
    """Another process holds the project's lock."""


@contextlib.contextmanager
def project_lock(root: Path, name: str, report: Callable[[str], None] = print, *, wait: bool = True) -> Iterator[None]:
    """Hold the project's lock; waits while another process holds it, and reports each holder once.

    wait: False = raise BusyError, which names the holder
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
            holder = read_lock_holder(root) or "another process"
            if not wait:
                raise BusyError(f"{name}: {holder} holds the project's lock; try again when it is done") from None
            if holder != reported:
                report(f"{name}: waits for {holder}")
                reported = holder
            time.sleep(_POLL_SECONDS)
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        with artifacts.replacing_file(_path(root, "holder")) as fresh:
            fresh.write_text(f"{name} (pid {os.getpid()} on {platform.node()}, since {since})")
        yield
    finally:
        _path(root, "holder").unlink(missing_ok=True)
        lock.release()


def read_lock_holder(root: Path) -> str | None:
    """A description of the last holder: its name, process, host and start (UTC).

    A killed holder leaves its description, so only the lock itself shows whether it is held.
    """
    try:
        return _path(root, "holder").read_text()
    except FileNotFoundError:
        return None


def _path(root: Path, suffix: str) -> Path:
    return Layout(root).loop / f"project.{suffix}"
