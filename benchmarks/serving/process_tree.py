"""CPU time and memory of a server's process and all its descendants."""

import time
from collections.abc import Sequence

import numpy as np
import psutil

MIB = 1 << 20
_TIMEOUT_SECONDS, _POLL_SECONDS, _IDLE_SHARE = 60.0, 0.5, 0.1


class ProcessTree:
    """A process and its present descendants; create it when the server is ready."""

    def __init__(self, process: psutil.Process) -> None:
        self.members = [process, *process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        return sum(self.cpu_seconds_each())

    def cpu_seconds_each(self) -> list[float]:
        """The same for each process."""
        return [sum(process.cpu_times()[:2]) for process in self.members]

    def resident_mib(self) -> float:
        """Resident size; pages shared by two processes count twice."""
        return sum(process.memory_info().rss for process in self.members) / MIB

    def private_mib(self) -> float:
        """Resident size without pages of files and shared memory, which the system may reclaim."""
        return sum(process.memory_info().rss - process.memory_info().shared for process in self.members) / MIB

    def settle(self) -> None:
        """Wait until the processes are idle, so that start-up work is not counted as the cost of requests."""
        end, busy = time.monotonic() + _TIMEOUT_SECONDS, True
        while busy and time.monotonic() < end:
            before = self.cpu_seconds()
            time.sleep(_POLL_SECONDS)
            busy = self.cpu_seconds() - before > _IDLE_SHARE * _POLL_SECONDS


def slope(counts: Sequence[float], sizes: Sequence[float], per: float, left_out: float = 0.25) -> float:
    """Growth of sizes per `per` counts, by least squares; the first share of the samples is left out.

    Raises ValueError when fewer than two samples are left.
    """
    first = int(len(counts) * left_out)
    x, y = np.asarray(counts[first:], float), np.asarray(sizes[first:], float)
    if len(x) < 2:
        raise ValueError(f"slope: {len(x)} samples are left of {len(counts)}, wanted two or more; sample more often")
    return float(np.polyfit(x - x.mean(), y, 1)[0] * per)
