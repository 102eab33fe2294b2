"""A Bento as a running server on loopback: started, waited for, and always stopped."""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from services.bentos import environment
from tierrec_core.errors import StageError

HOST = "127.0.0.1"
_READY_SECONDS = 180.0
_STOP_SECONDS = 15.0
_LAST_LINES = 3


@dataclass(frozen=True)
class Server:
    """Where it answers, and the process that does."""

    url: str
    process: psutil.Popen


@contextlib.contextmanager
def serving(
    home: Path, tag: str, *, port: int = 0, workers: int = 1, log: Path | None = None
) -> Iterator[Server]:
    """The Bento, ready to answer; port 0 takes a free one. What it says goes to the log, or to our own output.

    The server stays in our process group, so that whoever kills the group leaves none behind.
    Raises StageError when it ends or is not ready in time.
    """
    server = _start(home, tag, port or free_port(), workers, log)
    try:
        _wait(server, tag, log)
        yield server
    finally:
        _stop(server.process)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _start(home: Path, tag: str, port: int, workers: int, log: Path | None) -> Server:
    command = ["serve", tag, "--host", HOST, "--port", str(port), "--arg", f"workers={json.dumps(workers)}"]
    with contextlib.ExitStack() as files:
        sink = None if log is None else files.enter_context(log.open("w"))
        process = psutil.Popen(
            [sys.executable, "-m", "bentoml", *command],
            cwd=home,  # not the project: its code would be imported before the Bento's own
            env=environment(home),
            stdout=sink,
            stderr=subprocess.STDOUT if sink else None,
        )
    return Server(f"http://{HOST}:{port}", process)


def _wait(server: Server, tag: str, log: Path | None) -> None:
    end = time.monotonic() + _READY_SECONDS
    while not _is_ready(server.url):
        code = server.process.poll()
        if code is not None or time.monotonic() > end:
            how = (
                f"is not ready after {_READY_SECONDS:.0f} s"
                if code is None
                else f"ended with exit code {code}"
            )
            raise StageError(f"serve: {tag} {how}{_last_words(log)}")
        time.sleep(0.1)


def _is_ready(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310
        return bool(answer.status == 200)
    return False


def _last_words(log: Path | None) -> str:
    """The server's own `error:` line, or its last lines."""
    if log is None:
        return ""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    own = [line for line in lines if line.startswith("error: ")]
    return ":\n" + "\n".join(own[-1:] or lines[-_LAST_LINES:])


def _stop(process: psutil.Popen) -> None:
    """Ask the server to end, then end whatever of it is left."""
    if process.poll() is None:
        family = process.children(recursive=True)
        process.terminate()
        _, alive = psutil.wait_procs([process, *family], timeout=_STOP_SECONDS)
        for one in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()
