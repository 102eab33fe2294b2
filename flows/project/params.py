"""Edits params.yaml; comments are kept, and invalid settings are never written."""

import io
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from tierrec_core.base import artifacts
from tierrec_core.base.errors import SettingsError
from tierrec_core.models import registry
from tierrec_core.settings import Settings, parse, read_sections, read_settings


def set_values(path: Path, assignments: list[str]) -> None:
    """Write `dotted.key=value` assignments; values are YAML. Raises SettingsError before anything is written."""
    if not assignments:
        read_settings(path)
        return
    document, old = _load(path), _load(path)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not key or not equals:
            raise SettingsError(f"--set {assignment}: wanted key=value, such as models.ease.l2=300")
        _put(document, key.split("."), _value(assignment, text))
    _save(path, document, old)


def replace_sections(path: Path, sections: Mapping[str, Any]) -> None:
    """Replace whole sections by name. Raises SettingsError before anything is written."""
    document = _load(path)
    document.update({name: _plain(section) for name, section in sections.items()})
    _save(path, document, _load(path))


def write_patch(path: Path, patch: Mapping[str, Any]) -> None:
    """Write a part of params.yaml into a file of its own, for review."""
    with artifacts.replacing_file(path) as fresh, fresh.open("w") as stream:
        _yaml().dump(_plain(patch), stream)


def _value(assignment: str, text: str) -> Any:
    try:
        return _plain(YAML(typ="safe").load(text))
    except YAMLError as error:
        raise SettingsError(f"--set {assignment}: the value is not YAML; quote it") from error


def _plain(value: Any) -> Any:
    """Dates as text, since DVC's templates reject YAML dates; tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def _put(document: CommentedMap, keys: list[str], value: Any) -> None:
    inner: Any = document
    for depth, key in enumerate(keys[:-1]):
        if inner.get(key) is None:
            inner[key] = CommentedMap()
        inner = inner[key]
        if not isinstance(inner, dict):
            section = ".".join(keys[: depth + 1])
            raise SettingsError(f"params.yaml: {section} holds {inner!r}, not a section; set {section} itself")
    inner[keys[-1]] = value


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 110
    return yaml


def _load(path: Path) -> CommentedMap:
    document: CommentedMap = read_sections(path, _yaml(), "run this in a project folder")
    return document


def _save(path: Path, document: CommentedMap, old: CommentedMap) -> None:
    """Raises SettingsError naming the nearest valid key. Checks only models that changed, since that imports them."""
    settings, unchanged = parse(Settings, document, str(path)), old.get("models") or {}
    for name, block in settings.models.items():
        if block != unchanged.get(name):
            registry.configure(name, block)
    stream = io.StringIO()
    _yaml().dump(document, stream)
    with artifacts.replacing_file(path) as fresh:
        fresh.write_text(stream.getvalue())
