"""Files of a shop's state folder that several processes share: locked writes, change detection, YAML settings."""

import contextlib
import filecmp
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from filelock import FileLock, Timeout
from ruamel.yaml import YAML, ScalarNode
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError

from tierrec_core.base.artifacts import replacing_file
from tierrec_core.base.errors import ArtifactError, SettingsError, TierRecError
from tierrec_core.base.params import Params, parse
from tierrec_core.base.paths import Layout

STATE_VARIABLE, STORE_VARIABLE = "TIERREC_STATE", "TIERREC_STORE"  # state folder and store URL of a single shop
SHOPS_VARIABLE = "TIERREC_SHOPS"  # names shops.yaml

T = TypeVar("T")
_MAX_VALUES_BY_ALIAS, _MAX_DEPTH = 10_000, 50
_LOCK_SECONDS = 30.0
_POLL_SECONDS, _RETRY_SECONDS = 0.05, 1.0


def serving_folder(layout: Layout, folder: Path | None = None) -> Path:
    """The state folder of the shop: the given one, else the one that TIERREC_STATE names, else data/serving."""
    return folder or Path(os.environ.get(STATE_VARIABLE) or layout.serving)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file; it is released with its process, even by kill -9.

    Raises ArtifactError when another process holds the lock too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(f"{path}.lock", timeout=_LOCK_SECONDS, poll_interval=0.01).acquire()
    except Timeout as error:
        raise ArtifactError(
            f"{path}: locked by another process for {_LOCK_SECONDS:.0f} s; stop that process, or try again"
        ) from error
    with lock:
        yield


def file_signature(path: Path) -> tuple[int, ...] | None:
    """What differs once the file is replaced or written; None if it is missing."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


class FileWatcher:
    """Detects that a file was replaced. It checks every 50 ms; in between, a call only reads the clock."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._next_check = float("-inf")
        self._signature: tuple[int, ...] | None = None  # () = to be read again

    @property
    def is_due(self) -> bool:
        """Whether the next call of `changed` checks the file."""
        return self._clock() >= self._next_check

    def changed(self) -> bool:
        """Whether the file has changed since this last returned True; at first, whether it exists."""
        now = self._clock()
        if now < self._next_check:
            return False
        self._next_check = now + _POLL_SECONDS
        before, self._signature = self._signature, file_signature(self._path)
        return self._signature != before

    def retry(self) -> None:
        """Let `changed` return True in a second, because the file could not be read."""
        self._signature, self._next_check = (), self._clock() + _RETRY_SECONDS


class WrittenInt(int):
    """An integer of a YAML file, with its text, which an id needs: 0042 is 42."""

    written: str


class WrittenFloat(float):
    """A number of a YAML file, with its text."""

    written: str


class _Constructor(SafeConstructor):
    def construct_yaml_int(self, node: ScalarNode) -> WrittenInt:
        number = WrittenInt(super().construct_yaml_int(node))
        number.written = node.value
        return number

    def construct_yaml_float(self, node: ScalarNode) -> WrittenFloat:
        number = WrittenFloat(super().construct_yaml_float(node))
        number.written = node.value
        return number


_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.construct_yaml_int)
_Constructor.add_constructor("tag:yaml.org,2002:float", _Constructor.construct_yaml_float)


class YamlFile(Params):
    """The validated content of a YAML file that configures a running shop; a missing file counts as empty."""

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """Parse YAML. Raises SettingsError naming the file `where` and the key."""
        return parse(cls, parse_yaml_mapping(text, where), where)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; a missing file counts as empty. Raises the errors of `parse`."""
        return cls.parse(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The file's text; a missing file is empty. Raises SettingsError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); fix its permissions or its encoding") from error


def parse_yaml_mapping(text: str, where: str) -> Mapping[str, Any]:
    """Parse a YAML mapping; an empty text is an empty mapping, a number keeps its text.

    Raises SettingsError for anything else.
    """
    yaml = YAML(typ="safe")
    yaml.Constructor = _Constructor
    try:
        raw = yaml.load(text)
    except YAMLError as error:
        raise SettingsError(f"{where}: is not YAML: {' '.join(str(error).split())}; correct it") from error
    except (
        Exception
    ) as error:  # ruamel.yaml lets pass what its constructors raise: no such day, too many digits or levels
        raise SettingsError(f"{where}: cannot be read ({type(error).__name__}: {error!s:.80}); correct it") from error
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise SettingsError(f"{where}: holds {type(raw).__name__}, wanted keys with values")
    if _num_values(raw, {}, 0) > _MAX_VALUES_BY_ALIAS + len(text):
        raise SettingsError(f"{where}: is nested too deeply, or repeats too much by aliases; write less at a time")
    return raw


def _num_values(value: Any, counted: dict[int, float], depth: int) -> float:
    """The number of values when every alias is written out, without writing them out; inf if nested too deeply."""
    if not isinstance(value, Mapping | list):
        return 1
    if depth > _MAX_DEPTH:
        return math.inf
    if id(value) not in counted:
        counted[id(value)] = math.inf  # while it is counted: an alias of itself has no end
        inner = value.values() if isinstance(value, Mapping) else value
        counted[id(value)] = 1 + sum(_num_values(part, counted, depth + 1) for part in inner)
    return counted[id(value)]


def read_or_last_valid(path: Path, read: Callable[[Path], T], on_invalid: Callable[[TierRecError], None]) -> T:
    """Read a configuration file and keep it as the last valid one; if it is invalid, read the last valid one instead.

    on_invalid: called with the error. Raises a TierRecError if there is no valid one.
    """
    signature = file_signature(path)
    try:
        content = read(path)
    except TierRecError as error:
        on_invalid(error)
        copy = _last_valid(path)
        if not copy.is_file():
            raise
        return read(copy)
    keep_as_last_valid(path, signature)
    return content


def keep_as_last_valid(path: Path, signature: tuple[int, ...] | None) -> None:
    """Copy a valid file for `read_or_last_valid`, unless its folder cannot be written or the file has changed.

    signature: of the file before it was read
    """
    copy = _last_valid(path)
    with contextlib.suppress(OSError, ArtifactError):
        if signature is None:
            copy.unlink(missing_ok=True)
        elif path.is_file() and not (copy.is_file() and filecmp.cmp(path, copy, shallow=False)):
            with replacing_file(copy) as fresh:
                fresh.touch(mode=0o600)
                shutil.copyfile(path, fresh)
                if file_signature(path) != signature:
                    raise ArtifactError(f"{path}: has changed since it was read")


def _last_valid(path: Path) -> Path:
    return path.with_name(f".{path.name}.valid")
