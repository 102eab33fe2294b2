"""Save and memory-map frozen dataclasses of arrays: one .npy per array, with its hash. Never pickle.

For tables larger than memory: processes share the pages and load only those they access.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError

T = TypeVar("T")

_META = "meta.json"


def save_arrays(instance: Any, folder: Path) -> None:
    """Write a dataclass whose fields are all arrays, atomically replacing the folder's contents.

    Raises ArtifactError when the disk is full or not writable.
    """
    with artifacts.replacing_folder(folder) as fresh:
        hashes = {}
        for field in dataclasses.fields(instance):
            path = fresh / f"{field.name}.npy"
            np.save(path, np.ascontiguousarray(getattr(instance, field.name)), allow_pickle=False)
            hashes[path.name] = artifacts.sha256(path)
        artifacts.write_json({"type": type(instance).__qualname__, "sha256": hashes}, fresh / _META)


def map_arrays(kind: type[T], folder: Path) -> T:
    """Memory-map arrays written by `save_arrays`, read-only, after checking the hash of each file.

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
    return kind(**{name: _map(folder / f"{name}.npy", hashes) for name in names})


def _map(path: Path, hashes: Mapping[str, str]) -> np.ndarray[Any, Any]:
    try:
        if artifacts.sha256(path) != hashes.get(path.name):
            raise ArtifactError(f"{path}: does not match its hash; it is damaged, write the artefact again")
        array: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be mapped ({error}); write the artefact again") from error
    return array.view(np.ndarray)  # indexing rows of a np.memmap takes three times as long
