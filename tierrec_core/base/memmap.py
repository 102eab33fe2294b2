"""Save and memory-map frozen dataclasses of arrays: one .npy per array, with its hash. Never pickle.

For tables larger than memory: processes share the pages and load only those they access.
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


def save_arrays(instance: Any, folder: Path) -> None:
    """Write a dataclass whose fields are all arrays, atomically replacing the folder's contents.

    Raises ArtifactError when the disk is full or not writable.
    """
    arrays = {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance)}
    stream_arrays(type(instance), folder, [arrays])


def stream_arrays(kind: type[Any], folder: Path, blocks: Iterable[Mapping[str, Array]]) -> None:
    """Write blocks of rows one after the other, as `save_arrays` would write them concatenated.

    A block maps each field of `kind` to an array; a field's arrays differ in their number of rows only.
    Raises ArtifactError when there is no block, shapes or types differ, or the disk is full or not writable.
    """
    with artifacts.replacing_folder(folder) as fresh:
        files = {field.name: fresh / f"{field.name}.npy" for field in dataclasses.fields(kind)}
        with ExitStack() as stack:
            writers = {
                name: _NpyWriter(folder / path.name, stack.enter_context(path.open("wb")))
                for name, path in files.items()
            }
            for block in blocks:
                for name, writer in writers.items():
                    writer.append(block[name])
            for writer in writers.values():
                writer.finish()
        hashes = {path.name: artifacts.sha256(path) for path in files.values()}
        artifacts.write_json({"type": kind.__qualname__, "sha256": hashes}, fresh / _META)


def map_arrays(kind: type[T], folder: Path, *, verify: bool = True) -> T:
    """Memory-map arrays written by `save_arrays` or `stream_arrays`, read-only.

    verify: hash every file first

    Raises ArtifactError when it is missing, damaged or of another type.
    """
    meta = artifacts.read_json(folder / _META)
    try:
        stored_type, hashes = meta["type"], meta["sha256"]
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / _META}: lacks {error}; write the artefact again") from error
    if stored_type != kind.__qualname__:
        raise ArtifactError(f"{folder}: holds a {stored_type}, wanted a {kind.__qualname__}; write it again")
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: _map(folder / f"{name}.npy", hashes, verify=verify) for name in names})


def _map(path: Path, hashes: Mapping[str, str], *, verify: bool) -> Array:
    try:
        if verify and artifacts.sha256(path) != hashes.get(path.name):
            raise ArtifactError(f"{path}: does not match its hash; it is damaged, write the artefact again")
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be mapped ({error}); write the artefact again") from error
    return array.view(np.ndarray)  # indexing rows of a np.memmap takes three times as long


class _NpyWriter:
    """An .npy file that grows by rows; its header has room for any number of them."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.template: Array | None = None
        self.rows = 0

    def append(self, block: Array) -> None:
        """Append rows of the same shape and type as those before."""
        block = np.ascontiguousarray(block)
        if self.template is None:
            self.template = block[:0]
            self._write_header()
        if (block.shape[1:], block.dtype) != (self.template.shape[1:], self.template.dtype):
            raise ArtifactError(
                f"{self.path}: a block has rows of {block.shape[1:]} {block.dtype}, those before it have "
                f"{self.template.shape[1:]} {self.template.dtype}; write blocks of one shape and type"
            )
        self.file.write(block.data)
        self.rows += len(block)

    def finish(self) -> None:
        """Write the number of rows into the header."""
        self.file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        if self.template is None:
            raise ArtifactError(f"{self.path}: no block was given; write at least one, which may be empty")
        header = {"descr": self.template.dtype.str, "fortran_order": False}
        np.lib.format.write_array_header_1_0(self.file, header | {"shape": (self.rows, *self.template.shape[1:])})
