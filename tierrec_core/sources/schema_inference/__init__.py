"""Proposes params.yaml for CSV and Parquet files of unknown schema, with the evidence for each guess."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tierrec_core.settings import ColumnMap, FilesSource, ItemColumnMap, Params, parse
from tierrec_core.sources.schema_inference.column_roles import RATING_NAMES, Guess, canonical_event
from tierrec_core.sources.schema_inference.default_settings import default_sections
from tierrec_core.sources.schema_inference.file_roles import (
    InferenceOverrides,
    LogFile,
    LookupTable,
    catalogue_attributes,
    find_logs,
    find_tables,
)
from tierrec_core.sources.schema_inference.preview import FilePreview

__all__ = ["Guess", "Proposal", "propose_settings"]


@dataclass(frozen=True)
class Proposal:
    """patch: sections of params.yaml by name; guesses: the inferred settings in it."""

    patch: dict[str, Any]
    guesses: tuple[Guess, ...]


def propose_settings(paths: Sequence[Path], overrides: Mapping[str, Any]) -> Proposal:
    """Propose source, split, tasks and blend for these files.

    Raises UnreadableFileError for a file that cannot be read, MissingColumnError when no file has columns of users,
    items and times, naming the command-line flag, and SettingsError for an unknown override.
    """
    given = parse(InferenceOverrides, overrides, "overrides")
    lookups = [Path(path) for path in (given.items_path, given.users_path) if path is not None]
    previews = [FilePreview.at(path, given.separator) for path in dict.fromkeys([*paths, *lookups])]
    logs = find_logs([preview for preview in previews if preview.path not in lookups or len(previews) == 1], given)
    others = [preview for preview in previews if preview.path not in [log.preview.path for log in logs]]
    catalogue, users = find_tables(logs[0], others, given)
    names = _event_names(logs, given)
    source = _source(logs, catalogue, users, names, given)
    parse(FilesSource, source, "proposal")
    tables = [table.columns for table in (catalogue, users) if table is not None]
    guesses = [guess for columns in (logs[0].roles, *tables, names) for guess in columns.values()]
    sections = default_sections(
        [(log.preview, log.roles["timestamp"].value, log.time_format) for log in logs],
        _behaviours(logs, names, source),
        given_split="split" in logs[0].roles,
        attributes=catalogue_attributes(catalogue, logs[0]),
    )
    return Proposal({"source": source, **sections}, tuple(guesses))


def _event_names(logs: list[LogFile], given: InferenceOverrides) -> dict[str, Guess]:
    """The platform's name of each event name in the files, most frequent first."""
    if "event" not in logs[0].roles:
        return {}
    counts = pd.concat([log.values("event").astype("string") for log in logs]).value_counts()
    return {
        str(name): Guess(
            f"event {name}",
            given.events.get(str(name), canonical_event(str(name))),
            f"{'given' if name in given.events else 'by name'}; {count} rows",
        )
        for name, count in counts.items()
    }


def _behaviours(logs: list[LogFile], names: Mapping[str, Guess], source: Mapping[str, Any]) -> pd.Series:
    """Share of the sampled rows of each event."""
    if not names:
        return pd.Series({source.get("default_event", "purchase"): 1.0})
    events = pd.concat([log.values("event").astype("string") for log in logs])
    return events.map({name: guess.value for name, guess in names.items()}).value_counts(normalize=True)


def _source(
    logs: list[LogFile],
    catalogue: LookupTable | None,
    users: LookupTable | None,
    names: Mapping[str, Guess],
    given: InferenceOverrides,
) -> dict[str, Any]:
    """The source block without the values that equal a default."""
    log = logs[0]
    rated = "value" in log.roles and log.roles["value"].value.lower() in RATING_NAMES
    block: dict[str, Any] = {
        "kind": "files",
        "paths": [file.preview.path.as_posix() for file in logs],
        "separator": log.preview.separator,
        "columns": _mapped(ColumnMap, log.roles),
        "events": {name: guess.value for name, guess in names.items()} | dict(given.events),
        "default_event": "rating" if rated and not names else None,
        "timestamp_unit": log.time_format.unit,
        "timezone": given.timezone,
    }
    if catalogue is not None:
        block["items_path"] = catalogue.preview.path.as_posix()
        block["item_columns"] = _mapped(ItemColumnMap, catalogue.columns)
    if users is not None:
        block["users_path"] = users.preview.path.as_posix()
        block["user_column"] = users.columns["user"].value
    return _beyond_defaults(FilesSource, block)


def _beyond_defaults(kind: type[Params], block: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that are neither empty nor the default, and `kind`."""
    defaults = {name: field.default for name, field in kind.model_fields.items() if name != "kind"}
    return {name: value for name, value in block.items() if value not in (None, {}) and value != defaults.get(name)}


def _mapped(kind: type[Params], roles: Mapping[str, Guess]) -> dict[str, Any]:
    names = {role: guess.value for role, guess in roles.items() if role in kind.model_fields}
    return _beyond_defaults(kind, names)
