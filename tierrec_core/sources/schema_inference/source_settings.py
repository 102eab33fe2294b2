"""What each file is used as, and the block `source` of params.yaml that says so."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tierrec_core.settings import ColumnMap, FilesSource, ItemColumnMap, Params, TableFormat
from tierrec_core.sources.schema_inference.columns.roles import Guess
from tierrec_core.sources.schema_inference.file_roles import InferenceOverrides, LogFile, find_logs
from tierrec_core.sources.schema_inference.given_files import GivenFiles
from tierrec_core.sources.schema_inference.lookup_tables import LookupTable, find_tables
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.schema_inference.row_kinds.event_kinds import with_return_column
from tierrec_core.sources.schema_inference.row_kinds.flags import with_flag_column
from tierrec_core.sources.schema_inference.units.assumed_zones import with_zone_column
from tierrec_core.sources.tables import table_kind

_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class InferredFiles:
    """The files that were given, those of them that are the log, and the tables of its items and users."""

    given: InferenceOverrides
    files: GivenFiles
    previews: list[FilePreview]
    logs: list[LogFile]
    catalogue: LookupTable | None
    users: LookupTable | None

    @classmethod
    def of(cls, paths: Sequence[Path], given: InferenceOverrides) -> Self:
        """Read the files and find the use of each. Raises the errors of propose_settings."""
        files = GivenFiles.of(paths)
        lookups = [Path(path) for path in (given.items_path, given.users_path) if path is not None]
        every = dict.fromkeys([*files.files, *lookups])
        previews = [FilePreview.at(path, given.form(path)) for path in every]
        logs = find_logs([preview for preview in previews if preview.path not in lookups or len(previews) == 1], given)
        logs = logs if given.event_column is not None else list(map(with_return_column, logs))
        logs = logs if given.event_column is not None or given.default_event else list(map(with_flag_column, logs))
        logs = logs if given.timezone else list(map(with_zone_column, logs))
        others = [preview for preview in previews if preview.path not in [log.preview.path for log in logs]]
        return cls(given, files, previews, logs, *find_tables(logs[0], others, given))

    @property
    def tables(self) -> list[LookupTable]:
        """The tables of items and users that there are."""
        return [table for table in (self.catalogue, self.users) if table is not None]

    def use(self, preview: FilePreview) -> str:
        """What the file is used as; empty if it is not used."""
        uses = {
            "log": any(log.preview.path == preview.path for log in self.logs),
            "items": self.catalogue is not None and self.catalogue.preview.path == preview.path,
            "users": self.users is not None and self.users.preview.path == preview.path,
        }
        return " and ".join(use for use, applies in uses.items() if applies)


def source_settings(
    inputs: InferredFiles,
    names: Mapping[str, Guess],
    row_events: Sequence[Guess],
    exclude: Mapping[str, Collection[str]],
    minor: Collection[str],
    facts: Sequence[Guess | None],
) -> dict[str, Any]:
    """The source block without the values that equal a default.

    names: of events; row_events: see default_events
    exclude and minor, the columns in cents: see FilesSource, as the last words of the places of facts
    """
    logs, given = inputs.logs, inputs.given
    log, assumed = logs[0], logs[0].preview.time_format if all(log.assumption for log in logs) else None
    form = log.preview.form.model_copy(update={"time_format": given.time_format or assumed})
    paths = [log.preview.path for log in logs], [table.preview.path for table in inputs.tables]
    block: dict[str, Any] = {
        "kind": "files",
        "feedback": True,
        "paths": inputs.files.log_patterns(*paths),
        **form.model_dump(),
        "formats": _other_formats(form, [*logs, *inputs.tables]),
        "columns": _log_columns(logs),
        "events": {name: guess.value for name, guess in names.items()} | dict(given.events),
        "default_event": next((guess.value for guess in row_events if guess.place == "default_event"), None),
        "file_events": {
            guess.place.partition(" ")[2]: guess.value for guess in row_events if guess.place != "default_event"
        },
        "guests": list(given.guests),
        **{fact.place.split()[-1]: _BOOLEANS.get(fact.value, fact.value) for fact in facts if fact},
        "returned": log.returned,
        "minor_units": list(minor),
        "order_lines": log.has_order_lines or None,
        "exclude": {column: list(values) for column, values in exclude.items()},
        "timestamp_unit": log.time_format.unit if len({file.time_format.unit for file in logs}) == 1 else None,
        "timezone": given.timezone,
    }
    return _beyond_defaults(FilesSource, block | _table_settings(inputs))


def _table_settings(inputs: InferredFiles) -> dict[str, Any]:
    block: dict[str, Any] = {}
    if (catalogue := inputs.catalogue) is not None:
        path, is_log = catalogue.preview.path, catalogue.preview is inputs.logs[0].preview
        block["items_path"] = inputs.files.pattern_of(path) if is_log else path.as_posix()
        block["item_columns"] = _mapped(ItemColumnMap, catalogue.columns)
    if (users := inputs.users) is not None:
        block["users_path"] = users.preview.path.as_posix()
        block["user_column"] = users.columns["user"].value
    return block


def _log_columns(logs: list[LogFile]) -> dict[str, Any]:
    """The name of each column, or its names where files differ."""
    names = {
        role: list(dict.fromkeys(log.roles[role].value for log in logs if role in log.roles))
        for role in ColumnMap.model_fields
    }
    return _beyond_defaults(ColumnMap, {role: found[0] if len(found) == 1 else found for role, found in names.items()})


def _other_formats(common: TableFormat, files: Sequence[LogFile | LookupTable]) -> dict[str, dict[str, Any]]:
    """In which settings files are not written as the common format says."""
    different = {file.preview.path: _differences(common, file.preview) for file in files}
    return {path.as_posix(): settings for path, settings in different.items() if settings}


def _differences(common: TableFormat, preview: FilePreview) -> dict[str, Any]:
    form, shared = preview.form.model_dump(), common.model_dump()
    names = form if table_kind(preview.path) == "CSV" else ("explode", "time_format")
    form["time_format"] = form["time_format"] or shared["time_format"]  # a table has no times
    return {name: form[name] for name in names if form[name] != shared[name]}


def _beyond_defaults(kind: type[Params], block: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that are neither empty nor the default, and `kind`."""
    defaults = {name: field.default for name, field in kind.model_fields.items() if name != "kind"}
    return {name: value for name, value in block.items() if value not in (None, {}, []) and value != defaults.get(name)}


def _mapped(kind: type[Params], roles: Mapping[str, Guess]) -> dict[str, Any]:
    names = {role: guess.value for role, guess in roles.items() if role in kind.model_fields}
    return _beyond_defaults(kind, names)
