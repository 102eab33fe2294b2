"""Proposes params.yaml for files of unknown schema, with the evidence for each guess."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import Event
from tierrec_core.base.errors import DataError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.file_head import FileHead
from tierrec_core.sources.frames import event_of_file
from tierrec_core.sources.schema_inference.columns.roles import Guess, describe_content
from tierrec_core.sources.schema_inference.default_settings import default_sections
from tierrec_core.sources.schema_inference.file_roles import InferenceOverrides, LogFile
from tierrec_core.sources.schema_inference.lookup_tables import catalogue_attributes, other_ids
from tierrec_core.sources.schema_inference.oddities import find_oddities
from tierrec_core.sources.schema_inference.order_lines import daily_sessions, main_currency, unit_price
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.schema_inference.row_events import default_events, unknown_later_files
from tierrec_core.sources.schema_inference.row_kinds.event_kinds import event_meanings
from tierrec_core.sources.schema_inference.row_kinds.exclusions import describe_exclusions, find_exclusions
from tierrec_core.sources.schema_inference.source_settings import InferredFiles, source_settings
from tierrec_core.sources.schema_inference.units.assumed_zones import assumed_zone
from tierrec_core.sources.schema_inference.units.minor_units import minor_units
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
    inputs = InferredFiles.of(paths, given)
    logs, catalogue = inputs.logs, inputs.catalogue
    names, row_events = event_meanings(logs, given), default_events(logs, given.default_event)
    first, previews = logs[0], [log.preview for log in logs]
    facts = [
        _unit_price(logs, given.unit_price),
        main_currency(first.preview.path, pd.concat([log.currencies("currency") for log in logs]), given.currency),
        daily_sessions(first.preview, first.roles, first.time_format),
    ]
    exclude = find_exclusions([(log.preview, log.roles) for log in logs]) if given.infer_exclude else {}
    for name, values in given.exclude.items():
        exclude[name] = exclude.get(name, {}) | dict.fromkeys(values, "given")
    minor = minor_units(logs, catalogue, given.minor_units)
    cents = [guess.place.partition(" ")[2] for guess in minor]
    source = source_settings(inputs, names, row_events, exclude, cents, facts)
    parse(FilesSource, source, "proposal")
    roles = [logs[0].roles, *(table.columns for table in inputs.tables), names]
    sections, horizons = default_sections(
        logs,
        _events(logs, names, source),
        given_split="split" in source.get("columns", {}),
        attributes=catalogue_attributes(catalogue, logs[0]),
    )
    guesses = [_format_guess(preview, inputs.use(preview)) for preview in inputs.previews]
    guesses += [guess for columns in roles for guess in columns.values()]
    guesses += [*row_events, *(fact for fact in facts if fact), *minor]
    guesses += [Guess("returned", name, f"of {describe_content(first.preview, name)}") for name in first.returned]
    guesses += [zone] if (zone := assumed_zone(logs, given.timezone)) else []
    guesses += [*describe_exclusions(previews, exclude), *_other_names(logs), *horizons]
    guesses += _unused_numbers(
        logs[0], {guess.value for columns in roles for guess in columns.values()} | exclude.keys() | set(first.returned)
    )
    assumed = [log.assumption for log in logs if log.assumption]
    warnings = (
        *_unused(inputs),
        *unknown_later_files(row_events),
        *assumed,
        *find_oddities(logs, catalogue, given, names),
    )
    return Proposal({"source": source, **sections}, tuple(guesses), warnings)


def _unit_price(logs: Sequence[LogFile], given: bool | None) -> Guess | None:
    """Whether values are prices of one piece. Raises DataError where they are so in one file and not in another."""
    found = {log.preview.path: guess for log in logs if (guess := unit_price(log.preview, log.roles, given))}
    path_of = {guess.value: path for path, guess in found.items()}
    if len(path_of) > 1:
        raise DataError(
            f"{path_of['true']}: values are prices of one piece, and those in {path_of['false']} are of all pieces of "
            "a row; wanted one of both in all files\nmultiply the prices by the quantities, or say with --unit-price "
            "or --line-total what all values are"
        )
    return next(iter(found.values()), None)


def _unused(inputs: InferredFiles) -> list[str]:
    """The files without a use, and why."""
    unused = [preview for preview in inputs.previews if not inputs.use(preview)]
    others = [f"{path}: is not used: {_NO_TABLE}" for path in inputs.files.others]
    return [f"{one.path}: is not used: {other_ids(one, inputs.logs[0]) or _NO_USE}" for one in unused] + others


def _unused_numbers(log: LogFile, used: Collection[str]) -> list[Guess]:
    """The columns of numbers that no setting reads."""
    preview = log.preview
    others = {name: preview.sample[name].notna() for name in preview.columns if name not in used}
    unused = [
        name for name, filled in others.items() if filled.any() and np.isfinite(preview.numbers(name)[0][filled]).all()
    ]
    return [Guess("unused", ", ".join(unused), "columns of numbers that no setting reads")] if unused else []


def _events(logs: list[LogFile], names: Mapping[str, Guess], source: Mapping[str, Any]) -> pd.Series:
    """The event of each sampled row."""
    default, by_file = source.get("default_event", Event.PURCHASE), source.get("file_events", {})
    ours = {name: guess.value for name, guess in names.items()}
    columns = [
        log.event_names.map(ours)
        if "event" in log.roles
        else pd.Series(event_of_file(log.preview.path, by_file, default), log.preview.sample.index)
        for log in logs
    ]
    return pd.concat(columns, ignore_index=True)


def _other_names(logs: list[LogFile]) -> list[Guess]:
    """What other files call the columns of the first."""
    return [
        replace(guess, place=f"{role} in {log.preview.path.name}")
        for log in logs[1:]
        for role, guess in log.roles.items()
        if role not in logs[0].roles
        or guess.value != logs[0].roles[role].value
        or (role == "timestamp" and log.time_format is not logs[0].time_format)
    ]


def _format_guess(preview: FilePreview, use: str) -> Guess:
    form = preview.form.model_dump(exclude_none=True)
    if (kind := table_kind(preview.path)) != "CSV":
        form = {"kind": kind} | {name: form[name] for name in ("explode",) if name in form}
    size = f"{preview.num_rows} rows of {len(preview.columns)} columns"
    nested = f"; not used, as nested: {', '.join(preview.nested)}" if preview.nested else ""
    value = ", ".join(f"{name} {value!r}" for name, value in form.items())
    size += f", such as {preview.foreign_text!r}" if preview.foreign_text else ""
    size += _titles(preview)
    return Guess(f"file {preview.path.name}", value, f"{size}, {f'used as {use}' if use else 'not used'}{nested}")


def _titles(preview: FilePreview) -> str:
    """How many lines above the column names are skipped; empty where there are none."""
    above = FileHead.read(preview.path, preview.form).above if table_kind(preview.path) == "CSV" else ()
    if not above:
        return ""
    return f", {len(above)} lines above the column names are skipped, such as {above[0][:40]!r}"
