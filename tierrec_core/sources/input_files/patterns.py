"""Finds the files of a source by the paths and globs of params.yaml."""

import glob
from collections.abc import Iterable
from pathlib import Path

from tierrec_core.base.errors import UnreadableFileError
from tierrec_core.base.paths import Layout

LOCK = "~$"  # begins the names of Excel's lock files


def match_files(patterns: Iterable[str], root: Path, key: str) -> list[str]:
    """The files of all patterns, sorted within each, as they are written there: relative to root, or absolute.

    A file whose name is the pattern counts even if it has characters of a glob; hidden files and locks of Excel
    match no glob, and deliveries are read from their list alone.
    key: what names the patterns, for errors. Raises UnreadableFileError for a pattern without a file.
    """
    names, deliveries = dict[str, None](), Layout(root).deliveries.resolve()
    for pattern in patterns:
        found = [pattern]
        if not (root / pattern).is_file():  # Path.glob matches hidden files and takes no absolute pattern
            found = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207
            found = [name for name in found if not Path(name).name.startswith(LOCK)]
        files = sorted(
            name for name in found if (root / name).is_file() and not (root / name).resolve().is_relative_to(deliveries)
        )
        if not files:
            looked = "no file matches" if glob.has_magic(pattern) else "no such file"
            raise UnreadableFileError(f"{root / pattern}: {looked}; correct {key}, or put a file there")
        names |= dict.fromkeys(files)
    return list(names)
