"""Expensive fixtures that are made once in a run of tests, or of a benchmark, and shared by its processes."""

import atexit
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from filelock import FileLock


def once(temporary: Path, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` has filled, in this process or in another of the same run. Copy it; do not change it.

    temporary: any temporary folder of the test; what is shared lies in pytest's folder of the whole run, or in one of
        this process where pytest does not run
    """
    run = next((folder for folder in temporary.parents if re.fullmatch(r"pytest-\d+", folder.name)), None) or _own()
    shared = run / "shared"
    shared.mkdir(exist_ok=True)
    folder, done = shared / name, shared / f"{name}.done"
    with FileLock(shared / f"{name}.lock"):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@cache
def _own() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tierrec-shared-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
