"""YAML files that a person keeps beside a running shop; a file that is not there says nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tierrec_core.base.errors import SettingsError


def mapping_of(text: str, where: str) -> Mapping[str, Any]:
    """What a text says; an empty one says nothing. Raises SettingsError when it is no mapping of keys."""
    try:
        raw = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise SettingsError(f"{where}: is not YAML: {' '.join(str(error).split())}") from error
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise SettingsError(f"{where}: holds {type(raw).__name__}, wanted keys with what they stand for")
    return raw


def text_of(path: Path) -> str:
    """The file's text, empty where there is no file. Raises SettingsError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); mend its rights or its encoding") from error
