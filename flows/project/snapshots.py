"""The project folder as a git commit under a ref of our own: HEAD, index, branches and files stay as they are."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tierrec_core.base.errors import TierRecError
from tierrec_core.base.paths import Layout

PREFIX = "refs/tierrec/"
_NAME, _EMAIL = "tierrec", "tierrec@localhost"
_PROJECT = Layout(Path("/"))
# Files of a project that are neither code, params nor results; .gitignore overrides these patterns.
_EXCLUDED = (
    "/.venv/",
    f"{_PROJECT.prefect_home}/",
    f"{_PROJECT.bento_home}/",
    f"{_PROJECT.loop}/",
    f"{_PROJECT.runs}/",
    f"{_PROJECT.data_docs}/",
    f"{_PROJECT.serving}/*",
    f"!{_PROJECT.serving}/*.yaml",
)
_MISLEADING = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
)


class RevisionError(TierRecError):
    """Git is missing, the folder is in no repository, or git refused."""


def record_snapshot(root: Path, message: str, ref: str, *, also: Sequence[str] = ()) -> str:
    """Commit the folder as it is now, without what is ignored, and let the ref name it; the commit's id.

    The parent is HEAD. Where the ref names a commit of the same files already, that one stays.
    also: files below root that are wanted even where they are ignored
    Raises RevisionError.
    """
    tree = _tree(root, [name for name in also if (root / name).exists()])
    known = _commit(root, ref)
    if known and _git(root, "rev-parse", f"{known}^{{tree}}") == tree:
        return known
    head = _commit(root, "HEAD")
    parent = ["-p", head] if head else []
    commit = _git(root, "commit-tree", tree, *parent, "-m", message, environment=_identity(root))
    _git(root, "update-ref", "-m", "tierrec", ref, commit)
    return commit


def push_snapshot(root: Path, remote: str, ref: str) -> None:
    """Send the ref to a remote (a name, URL or path), in place of what it has there. Raises RevisionError."""
    _git(root, "push_snapshot", "--quiet", "--no-verify", remote, f"+{ref}:{ref}")


def fetch_snapshot(root: Path, remote: str, ref: str) -> str:
    """Take the ref from a remote, in place of what it is here; the commit's id. Raises RevisionError."""
    _git(root, "fetch_snapshot", "--quiet", "--no-tags", remote, f"+{ref}:{ref}")
    return _git(root, "rev-parse", f"{ref}^{{commit}}")


def check_out_snapshot(root: Path, revision: str, folder: Path) -> Path:
    """Put the files of a commit into an empty folder; where in there the project lies.

    The folder becomes a repository of its own that borrows the objects of root's: nothing there can change these, and
    whoever throws the folder away has left no trace. Raises RevisionError, naming a commit that is not there.
    """
    if not _commit(root, revision):
        raise RevisionError(
            f"{root}: has no commit {revision[:12]}; fetch it, as with `git fetch origin '{PREFIX}*:{PREFIX}*'`"
        )
    objects = Path(_git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects"))
    folder.mkdir(parents=True, exist_ok=True)
    kind = _git(root, "rev-parse", "--show-object-format")
    _git(folder, "init", "--quiet", "--template=", f"--object-format={kind}")
    (folder / ".git" / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (folder / ".git" / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    _git(folder, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", revision)
    return folder / _git(root, "rev-parse", "--show-prefix")


def _tree(root: Path, also: list[str]) -> str:
    """Write the folder's files as a tree, by an index that is thrown away; its id."""
    index = Path(_git(root, "rev-parse", "--path-format=absolute", "--git-path", "index"))
    with tempfile.TemporaryDirectory(prefix="tierrec-index-") as scratch:
        own = Path(scratch) / "index"
        if index.exists():
            shutil.copyfile(index, own)  # it knows the files that did not change, so that these are not read
        environment = {"GIT_INDEX_FILE": str(own)}
        excludes = Path(scratch) / "excludes"
        excludes.write_text(_excludes(root))
        _git(root, "-c", f"core.excludesFile={excludes}", "add", "--all", "--", ".", environment=environment)
        if also:
            _git(root, "add", "--force", "--", *also, environment=environment)
        return _git(root, "write-tree", environment=environment)


def _excludes(root: Path) -> str:
    """The patterns of the person's own excludes file, and ours."""
    named = _ask(root, "config", "--type=path", "core.excludesFile")
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    theirs = Path(named) if named else home / "git" / "ignore"
    prefix = _git(root, "rev-parse", "--show-prefix").rstrip("/")
    ours = [line.replace("/", f"/{prefix}/", 1) if prefix else line for line in _EXCLUDED]
    return "\n".join([theirs.read_text() if theirs.is_file() else "", *ours, ""])


def _identity(root: Path) -> dict[str, str]:
    """Ours for what git does not know of the person; it would refuse to commit without."""
    found = {}
    for key, value, field in (("user.name", _NAME, "NAME"), ("user.email", _EMAIL, "EMAIL")):
        if not _ask(root, "config", key):
            for role in ("AUTHOR", "COMMITTER"):
                found[f"GIT_{role}_{field}"] = os.environ.get(f"GIT_{role}_{field}", value)
    return found


def _commit(root: Path, name: str) -> str:
    """The commit that a name stands for; empty when there is none."""
    return _ask(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def _ask(root: Path, *arguments: str) -> str:
    """As `_git`, for questions that git answers with nothing and exit code 1."""
    done = _run(root, arguments, {})
    return done.stdout.strip() if done.returncode == 0 else ""


def _git(root: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """What git prints. Raises RevisionError with its own words."""
    done = _run(root, arguments, environment or {})
    if done.returncode == 0:
        return done.stdout.strip()
    said = " ".join(done.stderr.split())[-300:] or f"it ended with code {done.returncode}"
    if "not a git repository" in said:
        raise RevisionError(
            f"{root}: is in no git repository, wanted one that keeps revisions; run `git init` there"
        )
    verb = next((one for one in arguments if not one.startswith("-") and "=" not in one), "")
    raise RevisionError(f"{root}: `git {verb}` failed: {said}")


def _run(
    root: Path, arguments: tuple[str, ...], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run git in the folder; a hook's or another repository's GIT_ variables would lead it astray."""
    kept = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    try:
        return subprocess.run(
            ["git", "-c", "core.hooksPath=/dev/null", *arguments],
            cwd=root,
            env=kept | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        if not root.is_dir():
            raise RevisionError(f"{root}: is no folder") from error
        raise RevisionError("git: is not installed, and revisions want it; install git") from error
