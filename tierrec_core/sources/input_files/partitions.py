"""Partitions of Hive: folders such as date=2024-01-31, whose names are cells of the files in them."""

import re
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

_PARTITION, _NO_PARTITION = re.compile(r"[^=]+=[^=]+"), "__HIVE_DEFAULT_PARTITION__"


def is_partition(path: Path) -> bool:
    """Whether a folder is called as a partition is."""
    return path.is_dir() and _PARTITION.fullmatch(path.name) is not None


def partition_folders(path: Path) -> Path:
    """The partitions in which a file lies, such as year=2024/month=01; empty without one."""
    return Path(*reversed([folder.name for folder in takewhile(is_partition, path.absolute().parents)]))


def partition_cells(path: Path) -> dict[str, str | None]:
    """The columns of the partitions in which a file lies, and its value in each."""
    pairs = [name.partition("=")[::2] for name in partition_folders(path).parts]
    return {name: None if value == _NO_PARTITION else unquote(value) for name, value in pairs}


def are_apart(one: Path, other: Path) -> bool:
    """Whether two files lie in different partitions, so that no row of one is a row of the other."""
    cells, others = partition_cells(one), partition_cells(other)
    return any(cells[name] != others[name] for name in cells.keys() & others.keys())
