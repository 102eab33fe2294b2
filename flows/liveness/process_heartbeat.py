"""Which process runs a run: what the run says of that on its server, and how the process is asked.

Every flow of ours has `on_running=[claim]`. The claim is said anew all the while, so that from another machine, where
the process cannot be asked, a run that goes on is told from one that does not.
"""

import contextvars
import os
import platform
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound, PrefectException

CLAIM = "tierrec.process"
BEAT_SECONDS = 20.0
_RUN_ID = "PREFECT__FLOW_RUN_ID"
_SLACK = timedelta(seconds=2)  # between the clocks of a worker and its engine

Sign = Literal["lives", "gone", "unknown"]


@dataclass(frozen=True)
class ProcessRecord:
    """Which process runs a run: its host, its id there, what it was started with, and when that was said (UTC).

    started_with: a sum of its command line, and of the run that Prefect started it for, where it did
    """

    host: str
    pid: int
    started_with: int
    at: datetime

    @classmethod
    def make(cls, now: datetime, pid: int | None = None) -> Self:
        """The claim of a process on this machine; of our own when none is named."""
        process = psutil.Process(pid)
        return cls(platform.node(), process.pid, _started_with(process), now)

    @classmethod
    def read(cls, run: FlowRun) -> Self | None:
        """What a run's process said; None when it said nothing yet.

        A run that goes on after a pause has the words of the process before; they count no more.
        """
        try:
            host, pid, started_with, at = str(run.labels.get(CLAIM, "")).split()
            said = cls(host, int(pid), int(started_with), datetime.fromisoformat(at))
        except ValueError:
            return None
        is_over = run.state is not None and run.state.type == StateType.CANCELLING
        return said if is_over or run.state is None or said.at >= run.state.timestamp - _SLACK else None

    def __str__(self) -> str:
        return f"{self.host} {self.pid} {self.started_with} {self.at.isoformat()}"

    def sign(self) -> Sign:
        """Whether the process lives; unknown from another machine. One that may not be looked at is let live.

        The moment of its birth is not asked for: that moves when somebody sets the clock.
        """
        if self.host != platform.node():
            return "unknown"
        try:
            process = psutil.Process(self.pid)
            is_over = process.status() == psutil.STATUS_ZOMBIE
            return "gone" if is_over or _started_with(process) != self.started_with else "lives"
        except psutil.NoSuchProcess:
            return "gone"
        except (psutil.Error, OSError):
            return "lives"


def _started_with(process: psutil.Process) -> int:
    words = [process.environ().get(_RUN_ID, ""), *process.cmdline()]
    return zlib.crc32("\0".join(words).encode())


def send_heartbeats(flow: Any, flow_run: FlowRun, state: Any) -> None:  # noqa: ARG001 - the names are Prefect's
    """Say on the server which process runs this flow, and say it again until the run is over; for `on_running`."""
    _say(flow_run.id)
    beat = contextvars.copy_context().run  # it carries the settings that Prefect knows its server by
    threading.Thread(target=beat, args=(_keep_saying, flow_run.id), daemon=True).start()


def processes_of_run(run: UUID) -> Iterator[psutil.Process]:
    """Processes here that were started for a run: its engine, and all that this started."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(_RUN_ID) == str(run):
                yield process
        except (psutil.Error, OSError):
            continue


def _say(run: UUID) -> bool:
    """Write the claim down; whether the run goes on."""
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(run, {CLAIM: str(ProcessRecord.make(datetime.now(UTC)))})
        state = client.read_flow_run(run).state
    return state is None or not state.is_final()


def _keep_saying(run: UUID) -> None:
    goes_on = True
    while goes_on:
        time.sleep(BEAT_SECONDS)
        try:
            goes_on = _say(run)
        except (ObjectNotFound, RuntimeError):
            return  # the run is gone, or its own client is closed, since it is over
        except (httpx.HTTPError, PrefectException):
            continue  # a server that is away comes back
