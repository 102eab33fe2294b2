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
    """Git is not installed, the folder is not in a repository, or a git command failed."""


def run_git(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Git's output. Raises RevisionError with git's own message."""
    completed = _run(folder, arguments, environment or {})
    if completed.returncode == 0:
        return completed.stdout.strip()
    message = " ".join(completed.stderr.split())[-300:] or f"exit code {completed.returncode}"
    if "not a git repository" in message:
        raise RevisionError(f"{folder}: is not in a git repository, wanted one for revisions; run `git init` there")
    verb = next((word for word in arguments if not word.startswith("-") and "=" not in word), "")
    raise RevisionError(f"{folder}: `git {verb}` failed: {message}")


def query_git(folder: Path, *arguments: str) -> str:
    """Git's output; empty if git fails, as for names and settings that do not exist."""
    completed = _run(folder, arguments, {})
    return completed.stdout.strip() if completed.returncode == 0 else ""


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
            raise RevisionError(f"{folder}: is not a folder; wanted a project's") from error
        raise RevisionError("git: is not installed, wanted it for revisions; install git") from error
