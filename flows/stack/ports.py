"""Ports that are taken, by whom, and which option chooses another."""

import contextlib
import os
import socket
from dataclasses import dataclass

import psutil

from flows.stack.folder import StackError

_MAX_WORDS = 60


@dataclass(frozen=True)
class PortRequest:
    """A port that a part wants. option: what chooses another."""

    port: int
    part: str
    option: str
    host: str = "127.0.0.1"


def require_free(wanted: list[PortRequest]) -> None:
    """Raises StackError with a line for each port that is taken, and for one that two parts want."""
    lines = [_taken(one) for one in wanted if not is_port_free(one.port, one.host)]
    lines += [
        f"port {one.port}: wanted by the {other.part} and the {one.part}; choose another with {one.option}"
        for place, one in enumerate(wanted)
        for other in wanted[:place]
        if one.port == other.port
    ]
    if lines:
        raise StackError("\n".join(lines))


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def port_holder(port: int) -> str:
    """Who listens on the port, for people."""
    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.net_connections(kind="tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                return f"pid {one.pid} ({_words(one.pid)})"
    return f"a process that user {os.getuid()} may not see"


def _taken(wanted: PortRequest) -> str:
    return (
        f"port {wanted.port}: taken by {port_holder(wanted.port)}, wanted it for the {wanted.part}; "
        f"choose another with {wanted.option}"
    )


def _words(pid: int) -> str:
    try:
        said = " ".join(psutil.Process(pid).cmdline()) or psutil.Process(pid).name()
    except psutil.Error:
        return "unknown"
    return said if len(said) <= _MAX_WORDS else f"{said[:_MAX_WORDS]}..."
