"""A Bento as a running server on loopback: started, waited for, and always stopped."""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from services.deployment.bento_store import environment
from services.service import SERVICE
from services.shared_files import FOLDER_VARIABLE
from tierrec_core.base.errors import StageError

HOST = "127.0.0.1"
_READY_SECONDS = 180.0
_STOP_SECONDS = 15.0
_LAST_LINES = 3


@dataclass(frozen=True)
class Server:
    """A Bento's process, where it answers, and what it says (None: that goes to our own output)."""

    tag: str
    url: str
    process: psutil.Popen
    log: Path | None

    def wait_ready(self) -> None:
        """Return once it can answer. Raises StageError when it ends or is not ready in time."""
        end = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            code = self.process.poll()
            if code is not None:
                raise StageError(f"serve: {self.tag} ended with exit code {code}{self.last_words()}")
            if time.monotonic() > end:
                raise StageError(f"serve: {self.tag} is not ready after {_READY_SECONDS:.0f} s{self.last_words()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ask it to end, then end whatever of it is left."""
        if self.process.poll() is None:
            family = [self.process, *self.process.children(recursive=True)]
            self.process.terminate()
            for one in psutil.wait_procs(family, timeout=_STOP_SECONDS)[1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        self.process.wait()

    def last_words(self) -> str:
        """Its own `error:` line, or else its last lines; empty without a log."""
        if self.log is None:
            return ""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        own = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return ": " + "\n".join(own[-1:] or lines[-_LAST_LINES:])

    def _is_ready(self) -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer,  # noqa: S310
        ):
            return bool(answer.status == 200)
        return False


@contextlib.contextmanager
def serving(
    home: Path,
    tag: str,
    *,
    folder: Path | None = None,
    host: str = HOST,
    port: int = 0,
    workers: int = 1,
    quiet: bool = False,
) -> Iterator[Server]:
    """The Bento, ready to answer; port 0 takes a free one. quiet keeps what it says for an error message.

    folder: the shop's state; without one it is thrown away when the server stops

    The server stays in our process group, so that killing the group kills the server too.
    Raises StageError when it ends or is not ready in time.
    """
    with tempfile.TemporaryDirectory(prefix="tierrec-serve-") as scratch:
        own_home = _own_home(home, Path(scratch))
        state = folder.resolve() if folder else Path(scratch) / "serving"
        server = _start(own_home, tag, (host, port or free_port()), workers, state, quiet)
        try:
            server.wait_ready()
            yield server
        finally:
            server.stop()


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex((HOST, port)) != 0


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _own_home(home: Path, scratch: Path) -> Path:
    """A BentoML home with the project's stores; a server that starts clears the metrics of others in its home."""
    for store in ("bentos", "models"):
        (scratch / store).symlink_to((home / store).resolve(), target_is_directory=True)
    return scratch


def _start(home: Path, tag: str, address: tuple[str, int], workers: int, folder: Path, quiet: bool) -> Server:
    log = home / "server.log" if quiet else None
    host, port = address
    overrides = json.dumps({"services": {SERVICE: {"workers": workers}}})
    told = {"BENTOML_CONFIG_OVERRIDES": overrides, FOLDER_VARIABLE: str(folder)}
    with contextlib.ExitStack() as files:
        sink = files.enter_context(log.open("w")) if log else None
        process = psutil.Popen(
            [sys.executable, "-m", "bentoml", "serve", tag, "--host", host, "--port", str(port)],
            cwd=home,  # not the project: its code would be imported before the Bento's own
            env=environment(home) | told,
            stdout=sink,
            stderr=subprocess.STDOUT if sink else None,
        )
    return Server(tag, f"http://{HOST}:{port}", process, log)
