"""tierrec doctor: checks whether this machine can run, test and serve the project."""

import contextlib
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

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


def diagnose(root: Path) -> Iterator[DoctorFinding]:
    """Run every check of the machine and the project."""
    yield _check_versions(root / "constraints.txt")
    disk = shutil.disk_usage(root).free / 2**30
    yield DoctorFinding("disk", disk >= _NEEDED_GIB, f"{disk:.0f} GiB free, wanted {_NEEDED_GIB}")
    memory = psutil.virtual_memory().available / 2**30
    yield DoctorFinding("memory", memory >= _NEEDED_GIB, f"{memory:.0f} GiB available, wanted {_NEEDED_GIB}")
    for port, user in _PORTS.items():
        with socket.socket() as probe:
            is_taken = probe.connect_ex(("127.0.0.1", port)) == 0
        yield DoctorFinding(f"port {port}", not is_taken, f"{'taken' if is_taken else 'free'} ({user})")
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
