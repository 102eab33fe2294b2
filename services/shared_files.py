"""State files that several processes share: changed by one at a time, watched by all."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout

FOLDER_VARIABLE = "TIERREC_STATE"  # names the state folder of the only shop to a server that starts

_LOCK_SECONDS = 30.0
_LOOK_SECONDS = 0.05


def serving_folder(layout: Layout, folder: Path | None = None) -> Path:
    """The state folder of the shop: the given one, else the one that TIERREC_STATE names, else data/serving."""
    return folder or Path(os.environ.get(FOLDER_VARIABLE) or layout.serving)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file; it is released with its process, even by kill -9.

    Raises ArtifactError when another process keeps the lock too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock", timeout=_LOCK_SECONDS, poll_interval=0.01)
    try:
        lock.acquire()
    except Timeout as error:
        raise ArtifactError(
            f"{path}: another process has been changing it for {_LOCK_SECONDS:.0f} s; end that one, or try again"
        ) from error
    try:
        yield
    finally:
        lock.release()


class FileWatcher:
    """Tells a worker that a file was replaced; between looks, 50 ms apart, it costs one reading of the clock."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._next_look = float("-inf")
        self._seen: tuple[int, ...] | None = None

    @property
    def is_due(self) -> bool:
        """Whether the next call of `changed` looks at the file."""
        return self._clock() >= self._next_look

    def changed(self) -> bool:
        """Whether the file is another than when this was last true; at first, whether there is one."""
        now = self._clock()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK_SECONDS
        try:
            found = self._path.stat()
        except OSError:
            signature = None
        else:
            signature = (found.st_mtime_ns, found.st_ino, found.st_size)
        before, self._seen = self._seen, signature
        return signature != before
