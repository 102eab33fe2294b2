"""Configures supervisor, starts its daemon, and controls it over a socket of the project's own."""

import http.client
import shutil
import socket
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flows.stack.folder import StackError, StackFolder
from flows.stack.plan import PART_VARIABLE, StackPart

NAME = "supervisor"
_TIMEOUT = 10.0
_RETRIES = 20
_SECONDS_TO_START = 20  # a part that ends sooner is restarted after increasing pauses


@dataclass(frozen=True)
class Process:
    """A part's process. state: of supervisor; start: seconds since 1970, 0 if never started"""

    name: str
    state: str
    pid: int
    start: float


def supervisor_ini(folder: StackFolder, parts: Iterable[StackPart]) -> str:
    """supervisor.ini. It contains no path of the project, since its syntax forbids some characters in them."""
    own_socket = folder.socket.parent != folder.path
    lines = [
        "[supervisord]",
        "logfile=logs/supervisor.log",
        "logfile_maxbytes=5MB",
        "logfile_backups=2",
        "pidfile=supervisor.pid",
        "[unix_http_server]",
        f"file={folder.socket if own_socket else folder.socket.name}",
        "chmod=0700",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for priority, part in enumerate(parts, 1):
        lines += [
            f"[program:{part.name}]",
            f'command="%(ENV_TIERREC_PYTHON)s" -m flows.stack.supervision.launch {part.name}',
            f"priority={priority}",
            "autostart=false",
            "autorestart=true",
            f"startsecs={_SECONDS_TO_START}",
            f"startretries={_RETRIES}",
            f"stopwaitsecs={part.seconds_to_end}",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile=logs/{part.name}.log",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=3",
        ]
    return "\n".join(lines) + "\n"


class Supervisor:
    """The daemon that restarts the parts of one stack."""

    def __init__(self, folder: StackFolder) -> None:
        self._folder = folder

    def start(self, parts: Iterable[StackPart], environment: Mapping[str, str]) -> None:
        """Start the daemon without any part. Raises StackError with its output when it fails."""
        ini = self._folder.path / "supervisor.ini"
        ini.write_text(supervisor_ini(self._folder, parts))
        for leftover in (self._folder.socket, self._folder.path / "supervisor.pid"):
            leftover.unlink(missing_ok=True)
        shutil.rmtree(self._folder.path / "starts", ignore_errors=True)
        self._folder.make()
        completed = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "--configuration", ini.name],
            cwd=self._folder.path,
            env={**environment, PART_VARIABLE: NAME, "TIERREC_PYTHON": sys.executable},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if completed.returncode:
            raise StackError(f"{ini}: supervisor does not start: {completed.stdout.strip()[-500:]}")

    @property
    def pid(self) -> int | None:
        """The daemon's process id; None when it does not answer or is shutting down."""
        pid = self._query("getPID")
        return None if pid is None else int(pid)

    def processes(self) -> dict[str, Process]:
        """All parts by name; empty when the daemon has ended or is shutting down."""
        return {
            info["name"]: Process(info["name"], info["statename"], info["pid"], float(info["start"]))
            for info in self._query("getAllProcessInfo") or ()
        }

    def begin(self, name: str) -> None:
        """Start a part without waiting. Raises StackError when supervisor cannot."""
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            raise StackError(f"{name}: supervisor cannot start it: {fault.faultString}") from fault

    def finish(self, name: str) -> None:
        """Stop a part, if it runs, without waiting."""
        self._query("stopProcess", name, False)

    def shut_down(self) -> None:
        """Tell the daemon to stop all parts and then itself, without waiting."""
        self._query("shutdown")

    def _query(self, method: str, *arguments: Any) -> Any:
        """The daemon's answer; None when it has ended, is shutting down, or reports an error."""
        try:
            return self._call(method, *arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.Fault):
            return None

    def _call(self, method: str, *arguments: Any) -> Any:
        with xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(str(self._folder.socket))) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, _host: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(_TIMEOUT)
        connection.sock.connect(self._path)
        return connection
