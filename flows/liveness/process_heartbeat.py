"""Records on the Prefect server which process executes a flow run, as a heartbeat, and checks that process.

Every flow has `on_running=[send_heartbeats]`. The record is renewed while the run goes on, so that other machines,
which cannot check the process, can tell a live run from a dead one.
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

LABEL = "tierrec.process"
HEARTBEAT_SECONDS = 20.0
RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
_CLOCK_TOLERANCE = timedelta(seconds=2)  # between the clocks of a worker and its engine

ProcessState = Literal["alive", "dead", "unknown"]


@dataclass(frozen=True)
class ProcessRecord:
    """The process that executes a run: its host, its id there, a fingerprint, and when this was recorded (UTC).

    fingerprint: a checksum of its command line and of the run that Prefect started it for, if any
    """

    host: str
    pid: int
    fingerprint: int
    at: datetime

    @classmethod
    def make(cls, now: datetime, pid: int | None = None) -> Self:
        """The record of a process on this machine; None = this process."""
        process = psutil.Process(pid)
        return cls(platform.node(), process.pid, _fingerprint(process), now)

    @classmethod
    def read(cls, run: FlowRun) -> Self | None:
        """The record in a run's labels; None before its process has written one.

        After a pause, the label may still hold the record of the previous process, which is ignored.
        """
        try:
            host, pid, fingerprint, at = str(run.labels.get(LABEL, "")).split()
            record = cls(host, int(pid), int(fingerprint), datetime.fromisoformat(at))
        except ValueError:
            return None
        if run.state is None or run.state.type == StateType.CANCELLING:
            return record
        return record if record.at >= run.state.timestamp - _CLOCK_TOLERANCE else None

    def __str__(self) -> str:
        return f"{self.host} {self.pid} {self.fingerprint} {self.at.isoformat()}"

    def process_state(self) -> ProcessState:
        """Whether the process is alive; unknown from another machine. One that may not be inspected counts as alive.

        Its start time is not compared, since that changes when the clock is set.
        """
        if self.host != platform.node():
            return "unknown"
        try:
            process = psutil.Process(self.pid)
            is_zombie = process.status() == psutil.STATUS_ZOMBIE
            return "dead" if is_zombie or _fingerprint(process) != self.fingerprint else "alive"
        except psutil.NoSuchProcess:
            return "dead"
        except (psutil.Error, OSError):
            return "alive"


def _fingerprint(process: psutil.Process) -> int:
    words = [process.environ().get(RUN_VARIABLE, ""), *process.cmdline()]
    return zlib.crc32("\0".join(words).encode())


def send_heartbeats(flow: Any, flow_run: FlowRun, state: Any) -> None:  # noqa: ARG001 - the names are Prefect's
    """Record the process that executes this run, and renew the record until the run ends; for `on_running`."""
    _write_record(flow_run.id)
    in_context = contextvars.copy_context().run  # with the settings that name Prefect's server
    threading.Thread(target=in_context, args=(_renew_record, flow_run.id), daemon=True).start()


def processes_of_run(run: UUID) -> Iterator[psutil.Process]:
    """Processes on this machine that were started for a run: its engine and all descendants."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(RUN_VARIABLE) == str(run):
                yield process
        except (psutil.Error, OSError):
            continue


def _write_record(run: UUID) -> bool:
    """Write this process's record; returns whether the run is unfinished."""
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(run, {LABEL: str(ProcessRecord.make(datetime.now(UTC)))})
        state = client.read_flow_run(run).state
    return state is None or not state.is_final()


def _renew_record(run: UUID) -> None:
    is_unfinished = True
    while is_unfinished:
        time.sleep(HEARTBEAT_SECONDS)
        try:
            is_unfinished = _write_record(run)
        except (ObjectNotFound, RuntimeError):
            return  # the run was deleted, or has ended and closed its client
        except (httpx.HTTPError, PrefectException):
            continue  # the server may come back
