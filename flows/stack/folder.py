"""Where a stack keeps what it knows of itself: the supervisor's files, a log a part, and what was asked of `up`."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tierrec_core.base.errors import TierRecError
from tierrec_core.base.paths import Layout

_SOCKET_BYTES = 90  # of the 107 that the system allows: supervisor binds NAME.PID first and renames that
_LAST_LINES, _LOOK_BACK = 6, 20_000


class StackError(TierRecError):
    """A part of the stack did not come up, or what was asked does not go with what is running."""


@dataclass(frozen=True)
class StackFolder:
    """data/loop/stack of a project. It holds a database's password, so only its owner may look inside."""

    path: Path

    @classmethod
    def of(cls, root: Path) -> Self:
        """The folder of the project's stack; nothing is created."""
        return cls(Layout(root.resolve()).loop / "stack")

    def make(self) -> None:
        """Create what is missing."""
        for folder in (self.path, self.path / "logs", self.path / "starts", self.path / "gpu"):
            folder.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)

    @property
    def ini(self) -> Path:
        """What supervisor reads."""
        return self.path / "supervisor.ini"

    @property
    def parts(self) -> Path:
        """Command, folder and environment of each part, for flows.stack.supervision.launch."""
        return self.path / "parts.json"

    @property
    def state(self) -> Path:
        """stack.json: where the running stack answers."""
        return self.path / "stack.json"

    @property
    def deployed(self) -> Path:
        """What was deployed last, and what the server called it."""
        return self.path / "deployed.json"

    @property
    def deployments(self) -> Path:
        """prefect.yaml as it was deployed, with settings of params.yaml filled in."""
        return self.path / "prefect.yaml"

    @property
    def lock(self) -> Path:
        """Held by whoever brings the stack up or down."""
        return self.path / "lock"

    @property
    def socket(self) -> Path:
        """Where supervisor listens: in the folder, or where its path would be too long for a socket, in /tmp."""
        here = self.path / "supervisor.sock"
        if len(os.fsencode(here)) <= _SOCKET_BYTES:
            return here
        name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return _own_temporary_folder() / f"{name}.sock"

    def log(self, part: str) -> Path:
        """What a part says."""
        return self.path / "logs" / f"{part}.log"

    def starts(self, part: str) -> Path:
        """One line for each time that supervisor started a part."""
        return self.path / "starts" / part

    def num_starts(self, part: str) -> int:
        """How often a part was started since this stack came up."""
        path = self.starts(part)
        return len(path.read_text().splitlines()) if path.exists() else 0

    def last_lines(self, part: str) -> str:
        """The part's own `error:` line, or else its last lines."""
        path = self.log(part)
        said = path.read_text(errors="replace")[-_LOOK_BACK:] if path.exists() else ""
        lines = [line.rstrip() for line in said.splitlines() if line.strip()]
        own = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return "\n".join(own[-1:] or lines[-_LAST_LINES:]) or "it said nothing"


def _own_temporary_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"tierrec-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise StackError(
            f"{folder}: belongs to somebody else, wanted a folder of ours for sockets; remove it"
        )
    return folder
