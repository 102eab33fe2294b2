"""Proposes params.yaml for files of unknown schema, with the evidence for each guess."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd

from tierrec_core.base.errors import DataError
from tierrec_core.settings import ColumnMap, FilesSource, ItemColumnMap, Params, TableFormat, parse
from tierrec_core.sources.schema_inference.column_roles import IGNORE, RATING_NAMES, Guess, canonical_event
from tierrec_core.sources.schema_inference.default_settings import default_sections
from tierrec_core.sources.schema_inference.file_roles import InferenceOverrides, LogFile, find_logs
from tierrec_core.sources.schema_inference.given_files import GivenFiles
from tierrec_core.sources.schema_inference.lookup_tables import (
    LookupTable,
    catalogue_attributes,
    find_tables,
    other_ids,
)
from tierrec_core.sources.schema_inference.oddities import find_oddities
from tierrec_core.sources.schema_inference.order_lines import unit_price
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.tables import table_kind

__all__ = ["Guess", "Proposal", "propose_settings"]

_NO_USE = "it neither continues the log nor describes its items or users best"
_NO_TABLE = "by its name it is neither CSV nor JSON lines nor Parquet"


@dataclass(frozen=True)
class Proposal:
    """patch: sections of params.yaml by name; guesses: the inferred settings in it; warnings: files without a use, and
    what is odd in the log."""

    patch: dict[str, Any]
    guesses: tuple[Guess, ...]
    warnings: tuple[str, ...] = ()


def propose_settings(paths: Sequence[Path], overrides: Mapping[str, Any]) -> Proposal:
    """Propose source, split, tasks and blend for these files; globs and folders stay patterns.

    Raises UnreadableFileError for a file that cannot be read, MissingColumnError when no file has columns of users,
    items and times, naming the command-line flag, DataError for a glob that matches other files than logs and tables,
    and SettingsError for an unknown override.
    """
    given = parse(InferenceOverrides, overrides, "overrides")
    files = GivenFiles.of(paths)
    lookups = [Path(path) for path in (given.items_path, given.users_path) if path is not None]
    previews = [FilePreview.at(path, given.form, given.time_format) for path in dict.fromkeys([*files.files, *lookups])]
    logs = find_logs([preview for preview in previews if preview.path not in lookups or len(previews) == 1], given)
    others = [preview for preview in previews if preview.path not in [log.preview.path for log in logs]]
    catalogue, users = find_tables(logs[0], others, given)
    names = _event_names(logs, given)
    price = unit_price(logs[0].preview, logs[0].roles, given.unit_price)
    source = _source(logs, catalogue, users, names, given, files)
    source |= {"unit_price": True} if price and price.value == "true" else {}
    parse(FilesSource, source, "proposal")
    uses = {preview.path: _use(preview, logs, catalogue, users) for preview in previews}
    tables = [table.columns for table in (catalogue, users) if table is not None]
    guesses = [guess for columns in (logs[0].roles, *tables, names) for guess in columns.values()]
    guesses += [price] if price else []
    guesses += _other_names(logs)
    guesses = [*(_format_guess(preview, uses[preview.path]) for preview in previews), *guesses]
    unused = [
        f"{preview.path}: is not used: {other_ids(preview, logs[0]) or _NO_USE}"
        for preview in previews
        if not uses[preview.path]
    ]
    unused += [f"{path}: is not used: {_NO_TABLE}" for path in files.others]
    odd = find_oddities(logs[0], catalogue, given)
    sections, horizons = default_sections(
        logs,
        _events(logs, names, source),
        given_split="split" in source.get("columns", {}),
        attributes=catalogue_attributes(catalogue, logs[0]),
    )
    return Proposal({"source": source, **sections}, (*guesses, *horizons), (*unused, *odd))


def _event_names(logs: list[LogFile], given: InferenceOverrides) -> dict[str, Guess]:
    """The platform's name of each event name in the files, most frequent first."""
    if not any("event" in log.roles for log in logs):
        return {}
    counts = pd.concat([log.values("event").astype("string") for log in logs]).value_counts()
    names = {
        str(name): Guess(
            f"event {name}",
            given.events.get(str(name), canonical_event(str(name))),
            f"{'given' if name in given.events else 'by name'}; {count} rows",
        )
        for name, count in counts.items()
    }
    if names and all(guess.value == IGNORE for guess in names.values()):
        listed = ", ".join(f"{name} ({count} rows)" for name, count in counts.items())
        column = next(log.roles["event"].value for log in logs if "event" in log.roles)
        raise DataError(
            f"{logs[0].preview.path}: column {column} has no known event name, but {listed}\n"
            f"say what each is, such as --event {quote(f'{counts.index[0]}=view')}, or {IGNORE} to drop its rows"
        )
    return names


def _events(logs: list[LogFile], names: Mapping[str, Guess], source: Mapping[str, Any]) -> pd.Series:
    """The event of each sampled row."""
    default = source.get("default_event", "purchase")
    ours = {name: guess.value for name, guess in names.items()}
    columns = [
        log.values("event").astype("string").map(ours)
        if "event" in log.roles
        else pd.Series(default, log.preview.sample.index)
        for log in logs
    ]
    return pd.concat(columns, ignore_index=True)


def _source(
    logs: list[LogFile],
    catalogue: LookupTable | None,
    users: LookupTable | None,
    names: Mapping[str, Guess],
    given: InferenceOverrides,
    files: GivenFiles,
) -> dict[str, Any]:
    """The source block without the values that equal a default."""
    log = logs[0]
    tables = [table for table in (catalogue, users) if table is not None]
    rated = "value" in log.roles and log.roles["value"].value.lower() in RATING_NAMES
    block: dict[str, Any] = {
        "kind": "files",
        "feedback": True,
        "paths": files.log_patterns([log.preview.path for log in logs], [table.preview.path for table in tables]),
        **log.preview.form.model_dump(),
        "formats": _other_formats(log, [*logs, *tables]),
        "columns": _log_columns(logs),
        "events": {name: guess.value for name, guess in names.items()} | dict(given.events),
        "default_event": "rating" if rated and not names else None,
        "guests": list(given.guests),
        "order_lines": log.has_order_lines or None,
        "timestamp_unit": log.time_format.unit if len({file.time_format.unit for file in logs}) == 1 else None,
        "time_format": given.time_format,
        "timezone": given.timezone,
    }
    if catalogue is not None:
        path = catalogue.preview.path
        block["items_path"] = files.pattern_of(path) if catalogue.preview is log.preview else path.as_posix()
        block["item_columns"] = _mapped(ItemColumnMap, catalogue.columns)
    if users is not None:
        block["users_path"] = users.preview.path.as_posix()
        block["user_column"] = users.columns["user"].value
    return _beyond_defaults(FilesSource, block)


def _log_columns(logs: list[LogFile]) -> dict[str, Any]:
    """The name of each column, or its names where files differ."""
    names = {
        role: list(dict.fromkeys(log.roles[role].value for log in logs if role in log.roles))
        for role in ColumnMap.model_fields
    }
    return _beyond_defaults(ColumnMap, {role: found[0] if len(found) == 1 else found for role, found in names.items()})


def _other_names(logs: list[LogFile]) -> list[Guess]:
    """What other files call the columns of the first."""
    return [
        replace(guess, place=f"{role} in {log.preview.path.name}")
        for log in logs[1:]
        for role, guess in log.roles.items()
        if role not in logs[0].roles or guess.value != logs[0].roles[role].value
    ]


def _use(
    preview: FilePreview, logs: Sequence[LogFile], catalogue: LookupTable | None, users: LookupTable | None
) -> str:
    """What the file is used as; empty if it is not used."""
    uses = {
        "log": any(log.preview.path == preview.path for log in logs),
        "items": catalogue is not None and catalogue.preview.path == preview.path,
        "users": users is not None and users.preview.path == preview.path,
    }
    return " and ".join(use for use, applies in uses.items() if applies)


def _format_guess(preview: FilePreview, use: str) -> Guess:
    form = preview.form.model_dump(exclude_none=True)
    if (kind := table_kind(preview.path)) != "CSV":
        form = {"kind": kind} | {name: form[name] for name in ("explode",) if name in form}
    size = f"{preview.num_rows} rows of {len(preview.columns)} columns"
    nested = f"; not used, as nested: {', '.join(preview.nested)}" if preview.nested else ""
    value = ", ".join(f"{name} {value!r}" for name, value in form.items())
    return Guess(f"file {preview.path.name}", value, f"{size}, {f'used as {use}' if use else 'not used'}{nested}")


def _other_formats(log: LogFile, files: Sequence[LogFile | LookupTable]) -> dict[str, dict[str, Any]]:
    """The files that are not written as the log is."""
    given = log.preview.form
    return {
        file.preview.path.as_posix(): _beyond_defaults(TableFormat, form.model_dump())
        for file in files
        if (form := file.preview.form) != given
        and (form.explode != given.explode or table_kind(file.preview.path) == "CSV")
    }


def _beyond_defaults(kind: type[Params], block: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that are neither empty nor the default, and `kind`."""
    defaults = {name: field.default for name, field in kind.model_fields.items() if name != "kind"}
    return {name: value for name, value in block.items() if value not in (None, {}, []) and value != defaults.get(name)}


def _mapped(kind: type[Params], roles: Mapping[str, Guess]) -> dict[str, Any]:
    names = {role: guess.value for role, guess in roles.items() if role in kind.model_fields}
    return _beyond_defaults(kind, names)
