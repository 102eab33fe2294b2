"""The status of each part of a stack: state, process, restarts, and address."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.stack.folder import StackFolder
from flows.stack.plan import NAMES, POOLS, SERVER, SERVICE
from flows.stack.server import is_ready
from flows.stack.state import StackState
from flows.stack.supervision.processes import resident_memory, stack_processes
from flows.stack.supervision.supervisor import NAME as SUPERVISOR
from flows.stack.supervision.supervisor import Process, Supervisor
from flows.stack.up import NO_GPU, NOTHING_PACKAGED

_START_SECONDS = 90.0  # from a part's start to its first answer


@dataclass(frozen=True)
class PartStatus:
    """One part. state: running, starting, silent (runs without answering), orphaned (its supervisor has ended), down or
    left out; since: UTC; memory: bytes, with its descendants; log: below the project
    """

    part: str
    state: str
    pid: int | None
    since: str | None
    restarts: int
    memory: int
    where: str
    log: str
    note: str = ""

    @property
    def is_well(self) -> bool:
        """Whether it runs, or is not required."""
        return self.state in ("running", "left out")


def stack_status(root: Path, now: datetime | None = None) -> list[PartStatus]:
    """One row per part, the supervisor first; empty when no stack is up."""
    root = root.resolve()
    folder = StackFolder.of(root)
    state = StackState.read(folder)
    if state is None:
        return []
    supervisor, moment = Supervisor(folder), now or datetime.now(UTC)
    inspection = _Inspection(root, folder, state, supervisor.processes(), moment)
    return [inspection.supervisor_status(supervisor.pid), *(inspection.part_status(name) for name in NAMES)]


@dataclass(frozen=True)
class _Inspection:
    root: Path
    folder: StackFolder
    stack: StackState
    processes: dict[str, Process]
    now: datetime

    def supervisor_status(self, pid: int | None) -> PartStatus:
        note = "" if pid else "it has ended; `tierrec stack up` or `down` ends its leftover processes"
        since = self.stack.started if pid else None
        return self._row(SUPERVISOR, "running" if pid else "down", pid, since, note)

    def part_status(self, name: str) -> PartStatus:
        if name not in self.stack.parts:
            return self._row(name, "left out", None, None, NOTHING_PACKAGED)
        process = self.processes.get(name)
        if process is None:
            return self._orphan_status(name)
        since = _to_iso(process.start) if process.pid else None
        state = self._state(process)
        return self._row(name, state, process.pid or None, since, self._note(name, state))

    def _orphan_status(self, name: str) -> PartStatus:
        processes = [entry.process for entry in stack_processes(self.folder) if entry.part == name and not entry.is_run]
        if not processes:
            return self._row(name, "down", None, None, "")
        oldest = min(processes, key=lambda process: process.create_time())
        return self._row(name, "orphaned", oldest.pid, _to_iso(oldest.create_time()), "")

    def _state(self, process: Process) -> str:
        if process.state in ("RUNNING", "STARTING"):
            if is_ready(process.name, self.stack.options, process.start):
                return "running"
            return "starting" if self.now.timestamp() - process.start < _START_SECONDS else "silent"
        return "starting" if process.state == "BACKOFF" else "down"

    def _note(self, name: str, state: str) -> str:
        if state == "down" or (state == "starting" and self.folder.num_starts(name) > 1):
            return self.folder.last_lines(name).splitlines()[-1]
        return NO_GPU if name == "gpu" and not self.stack.cuda else ""

    def _row(self, name: str, state: str, pid: int | None, since: str | None, note: str) -> PartStatus:
        options, part_names = self.stack.options, self.stack.parts
        pool = f"pool {name} of {options.api_url}" if name in POOLS else ""
        service = options.service_url if SERVICE in part_names else ""
        where = {SERVER: options.api_url.removesuffix("/api"), SERVICE: service}
        return PartStatus(
            part=name,
            state=state,
            pid=pid,
            since=since,
            restarts=max(0, self.folder.num_starts(name) - 1),
            memory=resident_memory(pid) if pid and name != SUPERVISOR else 0,
            where=where.get(name, pool),
            log=str(self.folder.log(name).relative_to(self.root)),
            note=note,
        )


def _to_iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
