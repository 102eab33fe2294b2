"""A counter in shared memory by which the workers of one machine notify one another of commits."""

import contextlib
import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Self

_BYTES = 8


@dataclass(frozen=True)
class ChangeCounter:
    """A 64-bit counter in a file that every process maps; reading it costs no system call.

    Increments are made under a file lock, which the kernel releases when its process ends. A writer that dies between
    its commit and the increment leaves the count as it was, so readers should also poll.
    """

    descriptor: int
    memory: mmap.mmap
    cell: memoryview
    lock: Lock = field(default_factory=Lock)

    @classmethod
    def open(cls, path: Path | None) -> Self:
        """Open the counter in the file, creating it if missing; without a path, a counter of this process alone."""
        if path is None:
            descriptor, name = tempfile.mkstemp()
            Path(name).unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with _file_lock(descriptor):
            if os.fstat(descriptor).st_size < _BYTES:
                os.ftruncate(descriptor, _BYTES)
        memory = mmap.mmap(descriptor, _BYTES)
        return cls(descriptor, memory, memoryview(memory).cast("q"))

    @property
    def count(self) -> int:
        """The number of increments by all processes."""
        return int(self.cell[0])

    def increment(self) -> None:
        """Add one. Call it after the commit, never before."""
        with self.lock, _file_lock(self.descriptor):
            self.cell[0] += 1

    def close(self) -> None:
        """Close the file; the count stays in it."""
        self.cell.release()
        self.memory.close()
        os.close(self.descriptor)


@contextlib.contextmanager
def _file_lock(descriptor: int) -> Iterator[None]:
    """Exclude other processes; threads of this one share the lock."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
