"""Files of a shop's state folder that several processes share: locked writes, change detection, YAML settings."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout
from ruamel.yaml import YAML, ScalarNode
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError

from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.base.params import Params, parse
from tierrec_core.base.paths import Layout

STATE_VARIABLE, STORE_VARIABLE = "TIERREC_STATE", "TIERREC_STORE"  # state folder and store URL of a single shop

_LOCK_SECONDS = 30.0
_POLL_SECONDS = 0.05


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


class FileWatcher:
    """Detects that a file was replaced. It checks every 50 ms; in between, a call only reads the clock."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._next_check = float("-inf")
        self._signature: tuple[int, ...] | None = None

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
        before, self._signature = self._signature, None
        with contextlib.suppress(OSError):
            stat = self._path.stat()
            self._signature = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        return self._signature != before


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
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise SettingsError(f"{where}: holds {type(raw).__name__}, wanted keys with values")
    return raw
