"""Runs git without hooks and without the environment of another repository."""

import os
import subprocess
from pathlib import Path

from tierrec_core.base.errors import TierRecError

_IGNORED_VARIABLES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
)
_OPTIONS = ("-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")


class RevisionError(TierRecError):
    """Git is missing, the folder is in no repository, or git refused."""


def run_git(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Git's output. Raises RevisionError with git's own message."""
    done = _run(folder, arguments, environment or {})
    if done.returncode == 0:
        return done.stdout.strip()
    message = " ".join(done.stderr.split())[-300:] or f"it ended with code {done.returncode}"
    if "not a git repository" in message:
        raise RevisionError(f"{folder}: is in no git repository, wanted one that keeps revisions; run `git init` there")
    verb = next((word for word in arguments if not word.startswith("-") and "=" not in word), "")
    raise RevisionError(f"{folder}: `git {verb}` failed: {message}")


def query_git(folder: Path, *arguments: str) -> str:
    """Git's output; empty when git fails, as it does for names and settings that do not exist."""
    done = _run(folder, arguments, {})
    return done.stdout.strip() if done.returncode == 0 else ""


def _run(folder: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _IGNORED_VARIABLES}
    try:
        return subprocess.run(
            ["git", *_OPTIONS, *arguments],
            cwd=folder,
            env=inherited | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        if not folder.is_dir():
            raise RevisionError(f"{folder}: is no folder") from error
        raise RevisionError("git: is not installed, and revisions need it; install git") from error
