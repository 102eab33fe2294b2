"""Commits the project folder to a ref of its own; HEAD, index, branches and files stay as they are."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flows.project.git import RevisionError, query_git, run_git
from tierrec_core.base.errors import TierRecError, UnreadableFileError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings
from tierrec_core.settings.data import FilesSource
from tierrec_core.sources.input_files.patterns import match_files
from tierrec_core.stage_code import VERSIONS

PREFIX = "refs/tierrec/"
_NAME, _EMAIL = "tierrec", "tierrec@localhost"
_PROJECT = Layout(Path("/"))
# Files of a project that are neither code, params nor results; .gitignore overrides these patterns.
_EXCLUDED = (
    "/.venv/",
    f"{_PROJECT.prefect_home}/",
    f"{_PROJECT.bento_home}/",
    f"{_PROJECT.loop}/",
    f"{_PROJECT.deliveries}/",
    f"{_PROJECT.forgotten_list.parent}/",
    f"{_PROJECT.runs}/",
    f"{_PROJECT.data_docs}/",
    f"/{VERSIONS}",
    f"{_PROJECT.serving}/*",
    f"!{_PROJECT.serving}/*.yaml",
)


def record_snapshot(root: Path, message: str, ref: str, *, also: Sequence[str] = ()) -> str:
    """Commit the folder as it is, without ignored files and the source's, and point the ref to it; its commit's id.

    The parent is HEAD. A ref to a commit of the same files stays as it is.
    also: files below root to commit even if they are ignored
    Raises RevisionError.
    """
    tree = _write_tree(root, [name for name in also if (root / name).exists()])
    recorded = _commit_id(root, ref)
    if recorded and run_git(root, "rev-parse", f"{recorded}^{{tree}}") == tree:
        return recorded
    head = _commit_id(root, "HEAD")
    parent = ["-p", head] if head else []
    commit = run_git(root, "commit-tree", tree, *parent, "-m", message, environment=identity(root))
    run_git(root, "update-ref", "-m", "tierrec", ref, commit)
    return commit


def push_snapshot(root: Path, remote: str, ref: str) -> None:
    """Push the ref to a remote (a name, URL or path), overwriting it there. Raises RevisionError."""
    run_git(root, "push", "--quiet", "--no-verify", remote, f"+{ref}:{ref}")


def fetch_snapshot(root: Path, remote: str, ref: str) -> str:
    """Fetch the ref from a remote, overwriting it here; returns the commit's id. Raises RevisionError."""
    run_git(root, "fetch", "--quiet", "--no-tags", remote, f"+{ref}:{ref}")
    return run_git(root, "rev-parse", f"{ref}^{{commit}}")


def check_out_snapshot(root: Path, revision: str, folder: Path) -> Path:
    """Check out a commit in an empty folder; returns the project's folder in it.

    The folder becomes a repository of its own that borrows the objects of root's, so that it cannot change these
    and nothing remains when it is deleted. Raises RevisionError, naming a commit that is missing.
    """
    if not _commit_id(root, revision):
        raise RevisionError(
            f"{root}: has no commit {revision[:12]}; fetch it, as with `git fetch origin '{PREFIX}*:{PREFIX}*'`"
        )
    objects = Path(run_git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects"))
    folder.mkdir(parents=True, exist_ok=True)
    hash_format = run_git(root, "rev-parse", "--show-object-format")
    run_git(folder, "init", "--quiet", "--template=", f"--object-format={hash_format}")
    info = folder / ".git" / "objects" / "info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "alternates").write_text(f"{objects}\n")
    run_git(folder, "checkout", "--quiet", "--detach", revision)
    return folder / run_git(root, "rev-parse", "--show-prefix")


def _write_tree(root: Path, also: list[str]) -> str:
    """Write the folder's files as a tree, with a temporary index; returns the tree's id."""
    index = Path(run_git(root, "rev-parse", "--path-format=absolute", "--git-path", "index"))
    with tempfile.TemporaryDirectory(prefix="tierrec-index-") as scratch:
        temporary = Path(scratch) / "index"
        if index.exists():
            # So that git does not read unchanged files. It reads those that are as new as the index: its time counts.
            shutil.copy2(index, temporary)
        environment = {"GIT_INDEX_FILE": str(temporary)}
        excludes = Path(scratch) / "excludes"
        excludes.write_text(_exclude_patterns(root))
        run_git(root, *("-c", f"core.excludesFile={excludes}", "add", "--all", "--", "."), environment=environment)
        if also:
            run_git(root, "add", "--force", "--", *also, environment=environment)
        return run_git(root, "write-tree", environment=environment)


def _exclude_patterns(root: Path) -> str:
    """The patterns of the user's excludes file, those of _EXCLUDED, and the files of the source."""
    configured = query_git(root, "config", "--type=path", "core.excludesFile")
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    users_file = Path(configured) if configured else home / "git" / "ignore"
    prefix = run_git(root, "rev-parse", "--show-prefix").rstrip("/")
    data = ["/" + re.sub(r"([^\w/.-])", r"\\\1", name) for name in _source_files(root)]
    patterns = [pattern.replace("/", f"/{prefix}/", 1) if prefix else pattern for pattern in (*_EXCLUDED, *data)]
    return "\n".join([users_file.read_text() if users_file.is_file() else "", *patterns, ""])


def _source_files(root: Path) -> list[str]:
    """The files below root that params.yaml names as events, items or users; none where it cannot be read."""
    try:
        source = read_settings(root / "params.yaml").source
    except TierRecError:
        return []
    names = list[str]()
    if isinstance(source, FilesSource):
        for pattern in (*source.paths, source.items_path, source.users_path):
            with contextlib.suppress(UnreadableFileError):
                names += match_files([pattern] if pattern else [], root, "source")
    inside = [Path(os.path.relpath(root / name, root)) for name in names]
    return [path.as_posix() for path in inside if ".." not in path.parts]


def identity(root: Path) -> dict[str, str]:
    """A name and address if git has none configured, since it does not commit without them."""
    identity = {}
    for key, default, field in (("user.name", _NAME, "NAME"), ("user.email", _EMAIL, "EMAIL")):
        if not query_git(root, "config", key):
            for role in ("AUTHOR", "COMMITTER"):
                variable = f"GIT_{role}_{field}"
                identity[variable] = os.environ.get(variable, default)
    return identity


def _commit_id(root: Path, name: str) -> str:
    """The commit that a name refers to; empty when there is none."""
    return query_git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
