"""Questions to git, and the few changes that a worker makes to a clone of its own."""

import subprocess
from pathlib import Path

from tierrec_core.base.errors import StageError


def git(folder: Path, *arguments: str) -> str:
    """What git prints, without the last line break. Raises StageError with git's own words."""
    try:
        done = subprocess.run(
            ["git", "-c", "advice.detachedHead=false", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise StageError("git: is not installed, and workers elsewhere want it; install git") from error
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:] or f"it ended with code {done.returncode}"
        raise StageError(f"{folder}: `git {arguments[0]}` failed: {said}")
    return done.stdout.removesuffix("\n")
