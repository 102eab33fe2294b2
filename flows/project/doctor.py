"""tierrec doctor: checks whether this machine can run, test and serve the project."""

import contextlib
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import psutil

_NEEDED_GIB = 6
_PORTS = {3000: "serve", 4200: "Prefect's server"}
_PROGRAMS = {"java": "prepare.engine: spark", "chromium": "the browser tests", "nvidia-smi": "a GPU"}


@dataclass(frozen=True)
class DoctorFinding:
    """The result of one check. A missing optional program is ok."""

    name: str
    is_ok: bool
    detail: str


def diagnose(root: Path, own_addresses: Sequence[str]) -> Iterator[DoctorFinding]:
    """Run every check of the machine and the project. own_addresses: URLs at which the project's own stack answers."""
    yield _check_versions(root / "constraints.txt")
    disk = shutil.disk_usage(root).free / 2**30
    yield DoctorFinding("disk", disk >= _NEEDED_GIB, f"{disk:.0f} GiB free, wanted {_NEEDED_GIB}")
    memory = psutil.virtual_memory().available / 2**30
    yield DoctorFinding("memory", memory >= _NEEDED_GIB, f"{memory:.0f} GiB available, wanted {_NEEDED_GIB}")
    for port, user in _PORTS.items():
        with socket.socket() as probe:
            is_taken = probe.connect_ex(("127.0.0.1", port)) == 0
        is_own = is_taken and any(urlsplit(address).port == port for address in own_addresses)
        holder = "taken by this project's stack" if is_own else "taken" if is_taken else "free"
        yield DoctorFinding(f"port {port}", is_own or not is_taken, f"{holder} ({user})")
    for program, user in _PROGRAMS.items():
        yield DoctorFinding(program, True, shutil.which(program) or f"not installed; only {user} needs it")


def _check_versions(constraints: Path) -> DoctorFinding:
    if not constraints.exists():
        return DoctorFinding("versions", False, f"{constraints} is missing; run this in a project folder")
    different = [f"{name} {installed} (wanted {pinned})" for name, installed, pinned in different_versions(constraints)]
    return DoctorFinding("versions", not different, "; ".join(different[:5]) or "as in constraints.txt")


def different_versions(constraints: Path) -> Iterator[tuple[str, str, str]]:
    """Name, installed and pinned version of each package of constraints.txt that is installed in another version."""
    for name, pinned in re.findall(r"^([\w.-]+)==([^\s;]+)", constraints.read_text(), re.MULTILINE):
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed = metadata.version(name)
            if installed.partition("+")[0] != pinned.partition("+")[0]:
                yield name, installed, pinned
