"""Finds a user in the objects of the project's git repository."""

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from flows.privacy.file_scan import FileScanner, FoundUser
from flows.project.git import RevisionError, query_git, run_git
from flows.project.snapshots import PREFIX

_SPOOL_BYTES, _COPY_BYTES = 1 << 24, 1 << 20


@dataclass(frozen=True)
class GitObjectTrace:
    """An object with the user in it. refs: those of our snapshots that hold it; is_ours: whether nothing else does"""

    name: str
    found: FoundUser
    refs: tuple[str, ...]
    is_ours: bool


def scan_git(root: Path, scanner: FileScanner) -> tuple[int, list[GitObjectTrace]]:
    """The number of objects, and those with the user in them, reachable or not. None outside of a repository."""
    if not query_git(root, "rev-parse", "--git-dir"):
        return 0, []
    found, num_objects = dict[str, FoundUser](), 0
    for object_id, content in _objects(root):
        num_objects += 1
        if (hit := scanner.scan_stream(content)) is not None:
            found[object_id] = hit
    return num_objects, _describe(root, found) if found else []


def snapshot_refs(root: Path) -> list[str]:
    """The refs of our snapshots."""
    return query_git(root, "for-each-ref", "--format=%(refname)", PREFIX.rstrip("/")).split()


def _objects(root: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """All objects but trees, which hold names of files alone; each is read before the next."""
    command = ["git", "cat-file", "--batch-all-objects", "--batch", "--buffer", "--unordered"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        output = cast("IO[bytes]", process.stdout)
        while header := output.readline():
            object_id, kind, size = header.decode().split()
            with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as content:
                _copy(output, content, int(size))
                output.read(1)
                if kind != "tree":
                    yield object_id, content
    if process.returncode:
        raise RevisionError(f"{root}: `git cat-file` failed, its objects were not all read; run `git fsck`")


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size:
        chunk = source.read(min(size, _COPY_BYTES))
        if not chunk:
            raise RevisionError("git: ended in the middle of an object; run `git fsck`")
        target.write(chunk)
        size -= len(chunk)


def _describe(root: Path, found: dict[str, FoundUser]) -> list[GitObjectTrace]:
    refs = snapshot_refs(root)
    held = {ref: _reachable(root, ref) for ref in refs}
    others = _reachable(root, f"--exclude={PREFIX}*", "--all", "--indexed-objects")
    traces = []
    for object_id, hit in found.items():
        holders = tuple(ref for ref in refs if object_id in held[ref])
        named = next((names[object_id] for names in (others, *held.values()) if object_id in names), "")
        name = f"git object {object_id[:12]}" + (f" ({named})" if named else "")
        traces.append(GitObjectTrace(name, hit, holders, object_id not in others))
    return traces


def _reachable(root: Path, *revisions: str) -> dict[str, str]:
    """Paths of the objects that these revisions hold, by id; commits have none."""
    lines = run_git(root, "rev-list", "--objects", *revisions).splitlines()
    return {object_id: path for object_id, _, path in (line.partition(" ") for line in lines)}
