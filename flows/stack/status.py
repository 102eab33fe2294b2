"""How each part of a stack is: its state, process, restarts, and where it answers."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.stack import health, state
from flows.stack.folder import StackFolder
from flows.stack.plan import NAMES, POOLS, SERVER, SERVICE
from flows.stack.state import StackState
from flows.stack.supervision.processes import resident_memory, stack_processes
from flows.stack.supervision.supervisor import NAME as SUPERVISOR
from flows.stack.supervision.supervisor import Process, Supervisor
from flows.stack.up import NO_GPU, NOTHING_PACKAGED

_PATIENCE = 90.0  # seconds that a part may take from its start to its first answer


@dataclass(frozen=True)
class PartStatus:
    """A part. state: running, starting, silent (it runs and does not answer), orphaned (its supervisor is gone), down
    or left out; since: UTC; memory: bytes, with all that it started; log: below the project
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
        """Whether it does its work, or is not wanted."""
        return self.state in ("running", "left out")

    def report(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def stack_status(root: Path, now: datetime | None = None) -> list[PartStatus]:
    """A row a part, the supervisor first; none when no stack is up."""
    root = root.resolve()
    folder = StackFolder.of(root)
    known = state.read(folder)
    if known is None:
        return []
    supervisor, moment = Supervisor(folder), now or datetime.now(UTC)
    look = _Look(root, folder, known, supervisor.processes(), moment)
    return [look.at_supervisor(supervisor.pid), *(look.at(name) for name in NAMES)]


@dataclass(frozen=True)
class _Look:
    root: Path
    folder: StackFolder
    known: StackState
    processes: dict[str, Process]
    now: datetime

    def at_supervisor(self, pid: int | None) -> PartStatus:
        note = "" if pid else "gone; `tierrec stack up` or `down` ends what it left"
        since = self.known.started if pid else None
        return self._row(SUPERVISOR, "running" if pid else "down", pid, since, note)

    def at(self, name: str) -> PartStatus:
        if name not in self.known.parts:
            return self._row(name, "left out", None, None, NOTHING_PACKAGED)
        process = self.processes.get(name)
        if process is None:
            return self._orphan(name)
        since = _iso(process.start) if process.pid else None
        said = self._state(process)
        return self._row(name, said, process.pid or None, since, self._note(name, said))

    def _orphan(self, name: str) -> PartStatus:
        found = [one.process for one in stack_processes(self.folder) if one.part == name and not one.is_run]
        if not found:
            return self._row(name, "down", None, None, "")
        eldest = min(found, key=lambda one: one.create_time())
        return self._row(name, "orphaned", eldest.pid, _iso(eldest.create_time()), "")

    def _state(self, process: Process) -> str:
        if process.state in ("RUNNING", "STARTING"):
            if health.is_ready(process.name, self.known, process.start):
                return "running"
            return "starting" if self.now.timestamp() - process.start < _PATIENCE else "silent"
        return "starting" if process.state == "BACKOFF" else "down"

    def _note(self, name: str, said: str) -> str:
        if said == "down" or (said == "starting" and self.folder.num_starts(name) > 1):
            return self.folder.last_lines(name).splitlines()[-1]
        return NO_GPU if name == "gpu" and not self.known.cuda else ""

    def _row(self, name: str, said: str, pid: int | None, since: str | None, note: str) -> PartStatus:
        pool = f"pool {name} of {self.known.api_url}" if name in POOLS else ""
        where = {SERVER: self.known.api_url.removesuffix("/api"), SERVICE: self.known.service_url or ""}
        return PartStatus(
            part=name,
            state=said,
            pid=pid,
            since=since,
            restarts=max(0, self.folder.num_starts(name) - 1),
            memory=resident_memory(pid) if pid and name != SUPERVISOR else 0,
            where=where.get(name, pool),
            log=str(self.folder.log(name).relative_to(self.root)),
            note=note,
        )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
