"""The paths, globs and folders that a user gave to `init`, and which of their files are used as what."""

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tierrec_core.base.errors import DataError, UnreadableFileError
from tierrec_core.sources.input_files.partitions import is_partition
from tierrec_core.sources.input_files.patterns import LOCK, match_files
from tierrec_core.sources.tables import SUFFIX_KINDS

_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz")
_MAX_SHOWN = 5
_MARK = "_SUCCESS"  # of Spark and Hive, beside the files of a partition
_COMPRESSIONS = (".gz", ".zst", ".bz2")


@dataclass(frozen=True)
class GivenFiles:
    """The files of each path or glob; others: files of the given folders that are no tables by their name."""

    matches: dict[str, list[Path]]
    others: tuple[Path, ...] = ()

    @classmethod
    def of(cls, given: Sequence[Path]) -> Self:
        """A folder counts as a glob for each kind of table in it, and in its partitions. Raises UnreadableFileError."""
        patterns, others = list[str](), list[Path]()
        for path in given:
            if not path.is_dir():
                patterns.append(path.as_posix())
                continue
            folder = path / "**" if any(map(is_partition, path.iterdir())) else path
            suffixes = {
                file: _suffix(file) for file in sorted(path.glob("**/*" if folder != path else "*")) if _is_shown(file)
            }
            if not any(suffixes.values()):
                names = ", ".join(file.name for file in list(suffixes)[:_MAX_SHOWN]) or "nothing"
                unpack = "; unpack the archive" if any(file.suffix.lower() in _ARCHIVES for file in suffixes) else ""
                raise UnreadableFileError(
                    f"{path}: has no file of CSV, JSON lines or Parquet by their names, but {names}{unpack}"
                )
            patterns += [(folder / f"*{suffix}").as_posix() for suffix in dict.fromkeys(suffixes.values()) if suffix]
            others += [file for file, suffix in suffixes.items() if not suffix]
        return cls({pattern: _matches(pattern) for pattern in patterns}, tuple(others))

    @property
    def files(self) -> list[Path]:
        """All files, each once."""
        return list(dict.fromkeys(path for paths in self.matches.values() for path in paths))

    def log_patterns(self, logs: Iterable[Path], tables: Iterable[Path]) -> list[str]:
        """The paths and globs of the logs. Raises DataError where a glob of logs has a file that is not used."""
        logs, used = set(logs), {*logs, *tables}
        patterns = [pattern for pattern, paths in self.matches.items() if logs & set(paths)]
        for pattern in patterns:
            if unused := [path for path in self.matches[pattern] if path not in used]:
                raise DataError(
                    f"{unused[0]}: is matched by {pattern!r}, but is no part of the log and no table of its items or "
                    "users\ngive a narrower pattern, since new files of this one are read as parts of the log"
                )
        return patterns

    def pattern_of(self, path: Path) -> str:
        """The first path or glob that gave the file."""
        return next(pattern for pattern, paths in self.matches.items() if path in paths)


def _matches(pattern: str) -> list[Path]:
    if not glob.has_magic(pattern):
        return [Path(pattern)]
    return [Path(name) for name in match_files([pattern], Path(), "the pattern")]


def _is_shown(path: Path) -> bool:
    return path.is_file() and not path.name.startswith((".", LOCK, _MARK))


def _suffix(path: Path) -> str:
    """The end of a table's name, such as .csv or .csv.gz; empty for other files."""
    name = path.name.lower()
    endings = (suffix + packed for suffix in SUFFIX_KINDS for packed in ("", *_COMPRESSIONS))
    ending = next((ending for ending in endings if name.endswith(ending)), "")
    return path.name[len(path.name) - len(ending) :] if ending else ""
