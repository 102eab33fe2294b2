"""Runs a Bento as a server, in the foreground as `tierrec serve` does, or until a block ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from services.auth.keys import FILE as KEYS
from services.auth.keys import Keyring, check_host
from services.deployment.build import bento_environment, ensure_bento
from services.deployment.worker import PARENT_VARIABLE
from services.releases.manifest import SmokeReport
from services.releases.pointer import FILE as POINTER
from services.releases.pointer import Pointer
from services.service import ONE_THREAD
from services.shared_files import SHOPS_VARIABLE, STATE_VARIABLE, STORE_VARIABLE, serving_folder
from tierrec_core.base.errors import SettingsError, StageError, TierRecError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings

HOST = "127.0.0.1"
PROMETHEUS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where several workers share their metrics
_READY_SECONDS = 180.0
_STOP_SECONDS = 15.0
_LAST_LINES = 3
_EXAMPLE = json.dumps({"user_id": "1", "k": 5})


@dataclass(frozen=True)
class Server:
    """A Bento's process, its URL, and its log file (None: it writes to this process's output)."""

    tag: str
    url: str
    process: psutil.Popen
    log: Path | None

    def wait_ready(self) -> None:
        """Return once it is ready. Raises StageError when it stops or is not ready in time."""
        end = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            code = self.process.poll()
            if code is not None:
                raise StageError(f"serve: {self.tag} stopped with exit code {code}{self._error_lines()}")
            if time.monotonic() > end:
                raise StageError(f"serve: {self.tag} is not ready after {_READY_SECONDS:.0f} s{self._error_lines()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Terminate the process and its children; kill those that do not stop in time."""
        if self.process.poll() is None:
            processes = [self.process, *self.process.children(recursive=True)]
            self.process.terminate()
            for process in psutil.wait_procs(processes, timeout=_STOP_SECONDS)[1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait()

    def _error_lines(self) -> str:
        """The log's last `error:` line, else its last lines; empty without a log."""
        if self.log is None:
            return ""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return ": " + "\n".join(errors[-1:] or lines[-_LAST_LINES:])

    def _is_ready(self) -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer,  # noqa: S310
        ):
            return bool(answer.status == 200)
        return False


@contextlib.contextmanager
def running_server(
    home: Path,
    tag: str,
    *,
    folder: Path | None = None,
    host: str = HOST,
    port: int = 0,
    workers: int = 1,
    quiet: bool = False,
) -> Iterator[Server]:
    """Run the Bento until the block ends. Raises StageError when it stops or is not ready in time.

    folder: the shop's state folder (None: a temporary one); port: 0 = a free one
    quiet: keep its output for error messages instead of showing it

    The server stays in this process's group, so that killing the group kills the server too.
    """
    with tempfile.TemporaryDirectory(prefix="tierrec-serve-") as scratch:
        source = _source(home, tag)
        if not source.is_dir():
            raise StageError(f"serve: {tag} is not in the store; see `tierrec releases`")
        variables = _environment(home, folder, Path(scratch), workers) | {"PYTHONPATH": str(source)}
        server = _start(tag, (host, port or free_port(), workers), Path(scratch), variables, quiet)
        try:
            server.wait_ready()
            yield server
        finally:
            server.stop()


def run_server(layout: Layout, port: int = 3000, workers: int = 1, host: str = HOST) -> None:
    """Serve until Ctrl-C or SIGTERM, and print an example request.

    Raises ArtifactError when nothing is packaged, SettingsError when the port is taken, or when there is no API key
    and other machines can reach the host, StageError when the server does not start or stops by itself.
    """
    folder = serving_folder(layout)
    warning = _check_address(folder, host, port)
    tag = bento_to_serve(layout, folder)
    _serve(layout.bento_home, tag, folder, port, workers, host, warning)


def run_release_server(home: Path, folder: Path, port: int = 3000, workers: int = 1, host: str = HOST) -> None:
    """As `run_server`, without a project: the Bento that starts is the champion of the folder's pointer.

    home: the Bento store; folder: the shop's state folder. Raises ArtifactError when there is no pointer yet.
    """
    champion = Pointer.read(folder / POINTER).champion.bento
    _serve(home, champion, folder, port, workers, host, _check_address(folder, host, port))


def _check_address(folder: Path, host: str, port: int) -> str | None:
    """A warning about the host, if any. Raises SettingsError for a host that needs keys, and for a port in use."""
    warning = check_host(Keyring.read(folder / KEYS), host)
    if not is_free(port):
        raise SettingsError(f"serve: port {port} is in use; choose another with --port")
    return warning


def _serve(home: Path, tag: str, folder: Path, port: int, workers: int, host: str, warning: str | None) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        contextlib.suppress(KeyboardInterrupt),
        running_server(home, tag, folder=folder, host=host, port=port, workers=workers) as server,
    ):
        if warning:
            print(warning, file=sys.stderr)
        print(f"{tag} serves at {server.url}, which documents its API. Ctrl-C stops it. Example:")
        print(f"  curl {server.url}/recommend -H 'Content-Type: application/json' -d '{_EXAMPLE}'", flush=True)
        code = server.process.wait()
        raise StageError(f"serve: {tag} stopped with exit code {code}; its last lines are above")


def bento_to_serve(layout: Layout, folder: Path) -> str:
    """Tag of the champion's Bento, or else of the packaged one; its code serves, whatever the project has become.

    folder: the shop's state folder
    Only if neither is in the store, as after a clone, the packaged one is built again from the project, with
    ArtifactError when that now makes another one.
    """
    for tag in _known_bentos(layout, folder):
        if _source(layout.bento_home, tag).is_dir():
            return tag
    return ensure_bento(layout, read_settings(layout.params))


def _known_bentos(layout: Layout, folder: Path) -> Iterator[str]:
    """Tags of the champion's and the packaged Bento, as far as their files can be read."""
    with contextlib.suppress(TierRecError):
        yield Pointer.read(folder / POINTER).champion.bento
    with contextlib.suppress(TierRecError):
        yield SmokeReport.read(layout.bento).tag


def _source(home: Path, tag: str) -> Path:
    """The folder of a Bento's code in the store."""
    return home.resolve() / "bentos" / tag.replace(":", "/") / "src"


def is_free(port: int) -> bool:
    """Whether the port of loopback is not in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex((HOST, port)) != 0


def free_port() -> int:
    """A port of loopback that is not in use."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _environment(home: Path, folder: Path | None, scratch: Path, workers: int) -> dict[str, str]:
    """With a state folder of its own, a server has neither the shop's store nor further shops."""
    hidden = {PROMETHEUS_FOLDER} if folder else {PROMETHEUS_FOLDER, STORE_VARIABLE, SHOPS_VARIABLE}
    inherited = {name: value for name, value in bento_environment(home).items() if name not in hidden}
    state = {STATE_VARIABLE: str(folder.resolve() if folder else scratch / "serving")}
    return inherited | ONE_THREAD | state | ({PROMETHEUS_FOLDER: str(scratch)} if workers > 1 else {})


def _start(
    tag: str, listening: tuple[str, int, int], scratch: Path, environment: Mapping[str, str], quiet: bool
) -> Server:
    log = scratch / "server.log" if quiet else None
    arguments = [str(argument) for argument in listening]
    with contextlib.ExitStack() as files:
        output = files.enter_context(log.open("w")) if log else None
        process = psutil.Popen(
            [sys.executable, "-m", "services.deployment.worker", *arguments],
            cwd=scratch,  # not the project, whose code would be imported before the Bento's own
            env={**environment, PARENT_VARIABLE: str(os.getpid())},
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
        )
    return Server(tag, f"http://{HOST}:{listening[1]}", process, log)
