"""Frozen dataclasses of arrays on disk that are mapped, not read: one .npy an array, with its hash. Never pickle.

For tables that outgrow memory: processes share the pages, and a process holds only those that it has touched.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError

T = TypeVar("T")
Array = np.ndarray[Any, Any]

_META = "meta.json"


def save_arrays(thing: Any, folder: Path) -> None:
    """Write a dataclass whose fields are all arrays, replacing what was there in one step.

    Raises ArtifactError when the disk is full or refuses.
    """
    arrays = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    stream_arrays(type(thing), folder, [arrays])


def stream_arrays(kind: type[Any], folder: Path, blocks: Iterable[Mapping[str, Array]]) -> None:
    """As `save`, from blocks of rows one after the other, of which only one is in memory at a time.

    A block has an array for each field of `kind`; a field's arrays agree in all but their number of rows.
    Raises ArtifactError when there is no block, blocks disagree, or the disk is full or refuses.
    """
    with artifacts.replacing_folder(folder) as fresh:
        files = {field.name: fresh / f"{field.name}.npy" for field in dataclasses.fields(kind)}
        with ExitStack() as stack:
            growing = {
                name: _Growing(folder / path.name, stack.enter_context(path.open("wb")))
                for name, path in files.items()
            }
            for block in blocks:
                for name, one in growing.items():
                    one.append(block[name])
            for one in growing.values():
                one.finish()
        hashes = {path.name: artifacts.sha256(path) for path in files.values()}
        artifacts.write_json({"type": kind.__qualname__, "sha256": hashes}, fresh / _META)


def map_arrays(kind: type[T], folder: Path, *, verify: bool = True) -> T:
    """Map what `save` or `stream` wrote, read-only. Unless `verify` is false every byte is hashed first.

    Raises ArtifactError when it is missing, damaged or of another type.
    """
    meta = artifacts.read_json(folder / _META)
    try:
        found, hashes = meta["type"], meta["sha256"]
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / _META}: lacks {error}; write the artefact again") from error
    if found != kind.__qualname__:
        raise ArtifactError(f"{folder}: holds a {found}, wanted a {kind.__qualname__}; write it again")
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: _map(folder / f"{name}.npy", hashes, verify=verify) for name in names})


def _map(path: Path, hashes: Mapping[str, str], *, verify: bool) -> Array:
    try:
        if verify and artifacts.sha256(path) != hashes.get(path.name):
            raise ArtifactError(f"{path}: does not match its hash; it is damaged, write the artefact again")
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be mapped ({error}); write the artefact again") from error
    return array.view(np.ndarray)  # rows of a memmap cost three times as much to take


class _Growing:
    """An .npy file to which rows are added; its header has room for any number of them."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.like: Array | None = None
        self.rows = 0

    def append(self, block: Array) -> None:
        """Add rows of the same shape and type as those before."""
        block = np.ascontiguousarray(block)
        if self.like is None:
            self.like = block[:0]
            self._write_header()
        if (block.shape[1:], block.dtype) != (self.like.shape[1:], self.like.dtype):
            raise ArtifactError(
                f"{self.path}: a block has rows of {block.shape[1:]} {block.dtype}, those before it have "
                f"{self.like.shape[1:]} {self.like.dtype}; write blocks of one shape and type"
            )
        self.file.write(block.data)
        self.rows += len(block)

    def finish(self) -> None:
        """Write into the header how many rows there are."""
        self.file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        if self.like is None:
            raise ArtifactError(f"{self.path}: no block was given; write at least one, which may be empty")
        header = {"descr": self.like.dtype.str, "fortran_order": False}
        np.lib.format.write_array_header_1_0(self.file, header | {"shape": (self.rows, *self.like.shape[1:])})
