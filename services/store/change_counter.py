"""A counter in shared memory by which the workers of one machine tell one another that there is something new."""

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Self

_BYTES = 8


@dataclass(frozen=True)
class ChangeCounter:
    """A 64-bit counter in a file that every process maps; reading it costs no system call.

    A ring is counted under a lock of the kernel, which falls with the process that held it. A writer that dies between
    its commit and its ring leaves the commit unheard until the next ring: look for news once in a while unasked, too.
    """

    descriptor: int
    memory: mmap.mmap
    cell: memoryview
    turn: Lock = field(default_factory=Lock)

    @classmethod
    def open(cls, path: Path | None) -> Self:
        """The bell in the file, made if need be; without a file, a bell that this process alone hears."""
        if path is None:
            return cls._over(-1, mmap.mmap(-1, _BYTES))
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with _alone(descriptor):
            if os.fstat(descriptor).st_size < _BYTES:
                os.ftruncate(descriptor, _BYTES)
        return cls._over(descriptor, mmap.mmap(descriptor, _BYTES))

    @classmethod
    def _over(cls, descriptor: int, memory: mmap.mmap) -> Self:
        return cls(descriptor, memory, memoryview(memory).cast("q"))

    @property
    def count(self) -> int:
        """How often it has rung, in all processes."""
        return int(self.cell[0])

    def ring(self) -> None:
        """Count one up. Ring after the commit, never before."""
        with self.turn, _alone(self.descriptor):
            self.cell[0] += 1

    def close(self) -> None:
        """Let go of the file; the count stays in it."""
        self.cell.release()
        self.memory.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)


@contextlib.contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """Keep other processes out; threads of this one share the lock."""
    if descriptor < 0:
        yield
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
