"""The YAML files by which a running shop is configured; a missing file is an empty one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tierrec_core.base.errors import SettingsError
from tierrec_core.base.params import Params, parse


class YamlFile(Params):
    """The content of a file, validated."""

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """Parse YAML. Raises SettingsError with the location `where` and the key."""
        return parse(cls, mapping_of(text, where), where)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; a missing file is an empty one. Errors as for `parse`."""
        return cls.parse(text_of(path), str(path))


def mapping_of(text: str, where: str) -> Mapping[str, Any]:
    """Parse a YAML mapping; an empty text is an empty one. Raises SettingsError for any other YAML or text."""
    try:
        raw = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise SettingsError(f"{where}: is not YAML: {' '.join(str(error).split())}") from error
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise SettingsError(f"{where}: holds {type(raw).__name__}, wanted keys with values")
    return raw


def text_of(path: Path) -> str:
    """The file's text, empty for a missing file. Raises SettingsError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); check its permissions and its encoding") from error
