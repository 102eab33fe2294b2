"""Save and load frozen dataclasses: arrays as safetensors, the rest as JSON, with a hash. Never pickle.

A folder holds `arrays.safetensors` (arrays, sparse matrices and weights) and `meta.json` (ids, settings, scalars).
Writing is atomic: it replaces the whole folder or leaves the old one unchanged.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import shutil
import tempfile
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from pydantic import BaseModel
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse

from tierrec_core.base.contracts import Contract
from tierrec_core.base.errors import ArtifactError

T = TypeVar("T")
Arrays = dict[str, np.ndarray[Any, Any]]

_ARRAYS, _META = "arrays.safetensors", "meta.json"
_WRITE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


def save(instance: Any, folder: Path) -> None:
    """Write a dataclass instance to the folder, atomically replacing its contents.

    Raises ArtifactError when the disk is full or not writable.
    """
    arrays: Arrays = {}
    meta = {"type": type(instance).__qualname__, "fields": _pack(instance, "", arrays)}
    with replacing_folder(folder) as fresh:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, fresh / _ARRAYS)
        meta["sha256"] = sha256(fresh / _ARRAYS)
        (fresh / _META).write_text(json.dumps(meta, sort_keys=True))


def load(kind: type[T], folder: Path) -> T:
    """Load an instance written by `save`. Raises ArtifactError when it is missing, damaged or of another type."""
    try:
        meta = json.loads((folder / _META).read_text())
        if meta["type"] != kind.__qualname__:
            raise ArtifactError(f"{folder}: holds a {meta['type']}, wanted a {kind.__qualname__}; run its stage again")
        if sha256(folder / _ARRAYS) != meta["sha256"]:
            raise ArtifactError(f"{folder}: {_ARRAYS} does not match its hash; it is damaged, run its stage again")
        return typing.cast("T", _unpack(kind, meta["fields"], "", load_file(folder / _ARRAYS)))
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: no readable {kind.__qualname__} ({error}); run its stage again") from error


def sha256(path: Path) -> str:
    """The file's SHA-256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it replaces `folder` only if the block succeeds.

    Raises ArtifactError when the disk is full or not writable.
    """
    with _write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        old = fresh.with_name(fresh.name + ".old")
        try:
            yield fresh
            fresh.chmod(0o755)
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a path to write; the file replaces `path` only if the block succeeds.

    Raises ArtifactError when the disk is full or not writable.
    """
    with _write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            yield fresh
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def _write_errors(target: Path) -> Iterator[None]:
    """Convert a full disk, an exceeded limit or missing permissions into an ArtifactError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno not in _WRITE_ERRORS:
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(
            f"{target}: cannot be written ({reason}); the previous version is unchanged\n"
            "free disk space or fix the folder's permissions, then run the stage again"
        ) from error


def write_json(value: Any, path: Path) -> None:
    """Write JSON with sorted keys, atomically."""
    with replacing_file(path) as fresh:
        fresh.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON written by an earlier stage. Raises ArtifactError when it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error}); rerun the stage that writes it") from error


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write Parquet (zstd), atomically and deterministically."""
    with replacing_file(path) as fresh:
        frame.to_parquet(fresh, compression="zstd", index=False)


def read_frame(path: Path, contract: Contract) -> pd.DataFrame:
    """Read a frame written by an earlier stage. Raises ArtifactError when it is missing or damaged."""
    try:
        return contract.conform(pd.read_parquet(path), str(path))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error}); rerun the stage that writes it") from error


def _pack(value: Any, name: str, arrays: Arrays) -> Any:
    """Collect arrays in `arrays` under dotted names and return the rest as JSON values."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return None
    if sparse.issparse(value):
        csr = value.tocsr()
        arrays |= {f"{name}.data": csr.data, f"{name}.indices": csr.indices, f"{name}.indptr": csr.indptr}
        return list(csr.shape)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, pd.Index):
        return [str(label) for label in value]
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value)]
        return {field: _pack(getattr(value, field), f"{name}.{field}".lstrip("."), arrays) for field in fields}
    if isinstance(value, dict):
        return {key: _pack(inner, f"{name}.{key}", arrays) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_pack(inner, f"{name}.{index}", arrays) for index, inner in enumerate(value)]
    if isinstance(value, str | int | float | bool | None):
        return value
    raise ArtifactError(f"artifacts: {name} is a {type(value).__name__}, wanted arrays, ids, settings or scalars")


def _unpack(kind: Any, meta: Any, name: str, arrays: Arrays) -> Any:
    """Inverse of `_pack`, guided by the type annotations of the dataclass."""
    origin = typing.get_origin(kind) or kind
    if name in arrays:
        return arrays[name]
    if origin in (typing.Union, types.UnionType):
        inner = [part for part in typing.get_args(kind) if part is not type(None)]
        return None if meta is None else _unpack(inner[0], meta, name, arrays)
    if isinstance(origin, type) and issubclass(origin, sparse.spmatrix | sparse.sparray):
        parts = tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
        return origin(parts, shape=tuple(meta))
    if isinstance(origin, type) and issubclass(origin, BaseModel):
        return origin.model_validate(meta)
    if isinstance(origin, type) and issubclass(origin, pd.Index):
        return pd.Index(meta, dtype=object)
    if dataclasses.is_dataclass(origin):
        hints = typing.get_type_hints(origin)
        return typing.cast("type[Any]", origin)(
            **{key: _unpack(hints[key], value, f"{name}.{key}".lstrip("."), arrays) for key, value in meta.items()}
        )
    if origin is dict:
        inner = typing.get_args(kind)[1]
        return {key: _unpack(inner, value, f"{name}.{key}", arrays) for key, value in meta.items()}
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(_unpack(inner, value, f"{name}.{index}", arrays) for index, value in enumerate(meta))
    return meta
