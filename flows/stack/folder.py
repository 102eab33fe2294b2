"""The folder of a stack: the supervisor's files, one log per part, and the stack's state."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tierrec_core.base.errors import TierRecError
from tierrec_core.base.paths import Layout

_SOCKET_BYTES = 90  # of the 107 that the system allows: supervisor binds NAME.PID first and renames that
_LAST_LINES, _TAIL_CHARACTERS = 6, 20_000


class StackError(TierRecError):
    """A part of the stack did not start, or the options conflict with the running stack."""


@dataclass(frozen=True)
class StackFolder:
    """data/loop/stack of a project. It holds a database's password, so only its owner may read it."""

    path: Path

    @classmethod
    def of(cls, root: Path) -> Self:
        """The folder of the project's stack, without creating it."""
        return cls(Layout(root.resolve()).loop / "stack")

    def make(self) -> None:
        """Create the folder and its subfolders."""
        for folder in (self.path, self.path / "logs", self.path / "starts", self.path / "gpu"):
            folder.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)

    @property
    def parts(self) -> Path:
        """Command, folder and environment of each part, for flows.stack.supervision.launch."""
        return self.path / "parts.json"

    @property
    def state(self) -> Path:
        """The options and parts of the running stack."""
        return self.path / "stack.json"

    @property
    def socket(self) -> Path:
        """Supervisor's socket: in the folder, or in the temporary folder if its path would be too long for a socket."""
        path = self.path / "supervisor.sock"
        if len(os.fsencode(path)) <= _SOCKET_BYTES:
            return path
        name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"tierrec-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise StackError(f"{folder}: belongs to another user, wanted a folder of this user for sockets; remove it")
        return folder / f"{name}.sock"

    def log(self, part: str) -> Path:
        """A part's log."""
        return self.path / "logs" / f"{part}.log"

    def starts(self, part: str) -> Path:
        """A file with one line for each start of a part."""
        return self.path / "starts" / part

    def num_starts(self, part: str) -> int:
        """How often a part was started since the stack started."""
        path = self.starts(part)
        return len(path.read_text().splitlines()) if path.exists() else 0

    def last_lines(self, part: str) -> str:
        """The part's last `error:` line, else its last lines."""
        path = self.log(part)
        tail = path.read_text(errors="replace")[-_TAIL_CHARACTERS:] if path.exists() else ""
        lines = [line.rstrip() for line in tail.splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return "\n".join(errors[-1:] or lines[-_LAST_LINES:]) or "no output"
