"""tierrec doctor: is this machine fit to run, test and serve?"""

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
    """One look: what, whether all is well, what was found. An optional thing that is missing is well."""

    what: str
    well: bool
    found: str


def examine(root: Path) -> Iterator[DoctorFinding]:
    """Every finding about the machine and the project."""
    yield _versions(root / "constraints.txt")
    free = shutil.disk_usage(root).free / 2**30
    yield DoctorFinding("disk", free >= _NEEDED_GIB, f"{free:.0f} GiB free, wanted {_NEEDED_GIB}")
    memory = psutil.virtual_memory().available / 2**30
    yield DoctorFinding("memory", memory >= _NEEDED_GIB, f"{memory:.0f} GiB available, wanted {_NEEDED_GIB}")
    for port, user in _PORTS.items():
        with socket.socket() as probe:
            taken = probe.connect_ex(("127.0.0.1", port)) == 0
        yield DoctorFinding(f"port {port}", not taken, f"{'taken' if taken else 'free'} ({user})")
    for program, user in _PROGRAMS.items():
        yield DoctorFinding(program, True, shutil.which(program) or f"absent; only {user} needs it")


def _versions(constraints: Path) -> DoctorFinding:
    if not constraints.exists():
        return DoctorFinding("versions", False, f"{constraints} is missing; run this in a project folder")
    wanted = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", constraints.read_text(), re.MULTILINE))
    wrong = []
    for name, version in wanted.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if found.partition("+")[0] != version.partition("+")[0]:
            wrong.append(f"{name} {found} (wanted {version})")
    return DoctorFinding("versions", not wrong, "; ".join(wrong[:5]) or "as in constraints.txt")
