"""Checks that the ports of a stack are free."""

import contextlib
import os
import socket
from dataclasses import dataclass

import psutil

from flows.stack.folder import StackError

_MAX_COMMAND = 60


@dataclass(frozen=True)
class PortRequest:
    """A port that a part needs. option: of the command line, to choose another"""

    port: int
    part: str
    option: str
    host: str = "127.0.0.1"


def require_free(requests: list[PortRequest]) -> None:
    """Raise StackError with a line for each port that is taken, or requested by two parts."""
    lines = [
        f"port {request.port}: taken by {_port_holder(request.port)}, wanted it for the {request.part}; "
        f"choose another with {request.option}"
        for request in requests
        if not _is_port_free(request.port, request.host)
    ]
    lines += [
        f"port {request.port}: wanted by the {other.part} and the {request.part}; choose another with {request.option}"
        for position, request in enumerate(requests)
        for other in requests[:position]
        if request.port == other.port
    ]
    if lines:
        raise StackError("\n".join(lines))


def _is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _port_holder(port: int) -> str:
    """A description of the process that listens on the port."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            address, pid = connection.laddr, connection.pid
            if connection.status == psutil.CONN_LISTEN and address and address.port == port and pid:
                return f"pid {pid} ({_command(pid)})"
    return f"a process that user {os.getuid()} may not see"


def _command(pid: int) -> str:
    try:
        command = " ".join(psutil.Process(pid).cmdline()) or psutil.Process(pid).name()
    except psutil.Error:
        return "unknown"
    return command if len(command) <= _MAX_COMMAND else f"{command[:_MAX_COMMAND]}..."
