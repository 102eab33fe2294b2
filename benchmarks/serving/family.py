"""A server's processes, all of them: the CPU time that they took and the memory that they hold."""

import time
from collections.abc import Sequence

import numpy as np
import psutil

MIB = 1 << 20
_PATIENCE_SECONDS, _LOOK_SECONDS, _RESTING_SHARE = 60.0, 0.5, 0.1


class Family:
    """A process and its descendants as they are now; make it when the server is ready."""

    def __init__(self, process: psutil.Process) -> None:
        self.members = [process, *process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        return sum(self.cpu_seconds_each())

    def cpu_seconds_each(self) -> list[float]:
        """The same for each process."""
        return [sum(one.cpu_times()[:2]) for one in self.members]

    def resident_mib(self) -> float:
        """Resident size; pages that two of them share count twice."""
        return sum(one.memory_info().rss for one in self.members) / MIB

    def private_mib(self) -> float:
        """Resident size without the pages of files and of shared memory, which the system may take back."""
        return sum(one.memory_info().rss - one.memory_info().shared for one in self.members) / MIB

    def settle(self) -> None:
        """Wait until the processes rest: what a server still does after it is ready is no cost of a request."""
        end, busy = time.monotonic() + _PATIENCE_SECONDS, True
        while busy and time.monotonic() < end:
            before = self.cpu_seconds()
            time.sleep(_LOOK_SECONDS)
            busy = self.cpu_seconds() - before > _RESTING_SHARE * _LOOK_SECONDS


def slope(counts: Sequence[float], sizes: Sequence[float], per: float, left_out: float = 0.25) -> float:
    """By how much sizes grow for each `per` counts, by least squares; the first share of the samples is left out.

    Raises ValueError when fewer than two samples are left.
    """
    first = int(len(counts) * left_out)
    x, y = np.asarray(counts[first:], float), np.asarray(sizes[first:], float)
    if len(x) < 2:
        raise ValueError(f"slope: {len(x)} samples are left of {len(counts)}, wanted two or more; sample more often")
    return float(np.polyfit(x - x.mean(), y, 1)[0] * per)
