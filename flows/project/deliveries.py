"""Adds deliveries to the log: read and checked as the next run will do it, and stored in the project."""

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pandas as pd
from filelock import FileLock

from monitoring.data_gate.delivery import check_delivery
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS, RETURN
from tierrec_core.base.errors import (
    ArtifactError,
    DataError,
    EmptyDataError,
    SettingsError,
    TierRecError,
    UnreadableFileError,
)
from tierrec_core.base.paths import Layout
from tierrec_core.settings import FilesSource, Settings, ValidateSettings
from tierrec_core.sources.files import read_log
from tierrec_core.sources.input_files.deliveries import Delivery, local_days, read_deliveries, without_replaced
from tierrec_core.sources.input_files.manifest import source_manifest
from tierrec_core.sources.input_files.partitions import are_apart, partition_folders
from tierrec_core.sources.schema_inference.row_kinds.file_names import file_event

Overlap = Literal["refuse", "replace", "append"]
_MAX_DAYS = 3  # in the error's message


def add_deliveries(layout: Layout, settings: Settings, files: Sequence[Path], overlap: Overlap) -> list[str]:
    """Store the files as parts of the log, all or none of them; returns a line on each.

    overlap: what to do with a file that has rows of days of which earlier files have rows
    A file whose content is a part of the source already is passed over; one that has rows of all days of an earlier
    delivery of the same name takes its place. Of a killed call nothing counts.
    Raises SettingsError for a source of another kind, DataError for a file that cannot be read or overlaps,
    ArtifactError where it cannot be stored, and GateError for one with too many invalid rows.
    """
    source = settings.source
    if not isinstance(source, FilesSource):
        raise SettingsError(f"add: source.kind is {source.kind}, wanted files; run `tierrec init FILE` first")
    try:
        layout.deliveries.mkdir(parents=True, exist_ok=True)
        with FileLock(layout.deliveries / ".lock"):
            if not read_deliveries(layout):
                artifacts.write_json([], layout.delivery_list)  # so that a list that is lost later is noticed
            manifest = source_manifest(source, layout)
            known = {_identity(layout.root / name, entry["sha256"]): name for name, entry in manifest.items()}
            try:
                return _add(layout, source, settings.validate_, files, overlap, known)
            finally:
                _delete_unlisted(layout)
    except OSError as error:
        raise ArtifactError(f"{layout.deliveries}: cannot be written: {error}; correct this, then add again") from error


def replace_contents(layout: Layout, path: Path, fresh: Path | None) -> None:
    """Put another content in place of a stored delivery, which stays where it is in the order; None takes it back.

    Of a killed call nothing or all counts. Raises ArtifactError where the file cannot be stored.
    """
    with FileLock(layout.deliveries / ".lock"):
        deliveries = list[Delivery]()
        for delivery in read_deliveries(layout):
            if delivery.path(layout) != path:
                deliveries.append(delivery)
            elif fresh is not None:
                deliveries.append(delivery.model_copy(update={"sha256": _hash(fresh)}))
                _copy(fresh, deliveries[-1], layout)
        artifacts.write_json([delivery.model_dump() for delivery in deliveries], layout.delivery_list)
        _delete_unlisted(layout)


def _add(
    layout: Layout,
    source: FilesSource,
    gate: ValidateSettings,
    files: Sequence[Path],
    overlap: Overlap,
    known: dict[tuple[Path, str], str],
) -> list[str]:
    lines, given, fresh = list[str](), dict[Path, Path](), list[Delivery]()
    for file in files:
        name = (_telling_folders(file, source) / file.name).as_posix()
        delivery = Delivery(name=name, sha256=_hash(file), replaces=overlap == "replace")
        content = _identity(file, delivery.sha256)
        if content in known and overlap != "replace":  # a later delivery may have replaced its rows
            lines.append(f"{file}: is a part of the source already, as {known[content]}")
            continue
        _copy(file, delivery, layout)
        fresh.append(delivery)
        known[content], given[delivery.path(layout)] = str(file), file
    if not fresh:
        return lines
    try:
        log = _Log.read(layout, source, fresh)
        lines += [_with_names(log.accept(delivery, gate, overlap), given) for delivery in fresh]
    except TierRecError as error:
        raise type(error)(f"{_with_names(str(error), given)}\nnothing was added") from error
    artifacts.write_json([delivery.model_dump() for delivery in log.deliveries], layout.delivery_list)
    return lines


def _with_names(text: str, given: Mapping[Path, Path]) -> str:
    """A text about stored files, with the names of the files that were given."""
    for path, file in given.items():
        text = text.replace(str(path), str(file))
    return text


def _telling_folders(file: Path, source: FilesSource) -> Path:
    """The folders of a file that say what its rows are: its partitions, or one that a pattern of the source names."""
    patterns = [pattern for pattern in (*source.file_events, *source.formats) if "/" in pattern]
    folders = partition_folders(file)
    is_named = not folders.parts and any(map(file.absolute().match, patterns))
    return Path(file.absolute().parent.name) if is_named else folders


def _identity(file: Path, digest: str) -> tuple[Path, str]:
    """What two files share whose rows are the same: their content, and their partitions."""
    return partition_folders(file), digest


def _hash(file: Path) -> str:
    try:
        return artifacts.sha256(file)
    except OSError as error:
        raise UnreadableFileError(f"{file}: cannot be read ({error.strerror}); nothing was added") from error


def _copy(file: Path, delivery: Delivery, layout: Layout) -> None:
    """Copy the file to where it is read; it counts once it is in the list."""
    with artifacts.replacing_file(delivery.path(layout)) as copy:
        shutil.copyfile(file, copy)
        if _hash(copy) != delivery.sha256:
            raise UnreadableFileError(f"{file}: changes while it is copied; add it again when it is complete")


def _delete_unlisted(layout: Layout) -> None:
    """Delete files that were refused or replaced, and those of killed calls."""
    listed = {delivery.folder(layout) for delivery in read_deliveries(layout)}
    for folder in layout.deliveries.iterdir():
        if folder.is_dir() and not folder.is_symlink() and folder not in listed:
            shutil.rmtree(folder)


class _Log:
    """The events of each file, and the deliveries that count, oldest first."""

    def __init__(self, layout: Layout, source: FilesSource, parts: Mapping[Path, pd.DataFrame]) -> None:
        self._layout, self._zone, self._parts = layout, source.timezone, parts
        self._has_kinds = source.columns.event is not None
        self.deliveries = read_deliveries(layout)

    @classmethod
    def read(cls, layout: Layout, source: FilesSource, fresh: Sequence[Delivery]) -> "_Log":
        """All files together, since together they decide on the format of times."""
        deliveries = [delivery.path(layout) for delivery in (*read_deliveries(layout), *fresh)]
        return cls(layout, source, read_log(source, layout.root, deliveries, deliveries[-len(fresh) :]))

    def accept(self, delivery: Delivery, gate: ValidateSettings, overlap: Overlap) -> str:
        """Check a delivery by the gate and against the earlier files, and count it in; returns a line on it."""
        path = delivery.path(self._layout)
        if self._parts[path].empty:
            raise EmptyDataError(f"{path}: no event is left; map at least one event name in source.events")
        events = EVENTS.conform(self._parts[path], str(path))
        self._check_name(path, events)
        try:
            num_invalid = check_delivery(events, gate, datetime.now(UTC))
        except TierRecError as error:
            raise type(error)(f"{path}: {error}") from error
        days = self._days(events)
        former = [other for other in self.deliveries if other.name == delivery.name and self._covers(days, other)]
        self.deliveries = [other for other in self.deliveries if other not in former]
        shared = "" if overlap == "append" else self._shared_days(path, events)
        if shared and overlap == "refuse":
            raise DataError(
                f"{path}: other files have rows of its days: {shared}\n"
                "--replace drops the earlier rows of these days, --append keeps both"
            )
        self.deliveries.append(delivery)
        span = f"{days.min():%Y-%m-%d}" + (f" to {days.max():%Y-%m-%d}" if days.min() < days.max() else "")
        invalid = f", {num_invalid:,} of them invalid" if num_invalid else ""
        place = ", in place of the earlier file of this name" if former else ""
        dropped = f"; they replace those of {shared}" if shared and overlap == "replace" else ""
        return f"{path}: added {len(events):,} events of {span}{invalid}{place}{dropped}{self._strangeness(path)}"

    def _strangeness(self, path: Path) -> str:
        """A warning where no user and no item of a file is in the others; else empty."""
        ids = ("user_id", "item_id")
        others = [part for other, part in self._parts.items() if other != path]
        if not others or any(part[name].isin(self._parts[path][name]).any() for part in others for name in ids):
            return ""
        return "; none of its users and items is in the earlier files, as in those of another shop"

    def _check_name(self, path: Path, events: pd.DataFrame) -> None:
        """Raise DataError where a file without a column of events is called after another event than its rows get."""
        event, word = file_event(path)
        found = events["event"].mask((events["quantity"] < 0).fillna(False), RETURN)
        if self._has_kinds or not event or (found == event).any():
            return
        raise DataError(
            f"{path}: {word!r} is in its name, but its rows would be of the event {events['event'].iloc[0]}; say in "
            f"source.file_events of params.yaml what they are, as '*{word}*': {event}"
        )

    def _days(self, events: pd.DataFrame) -> pd.Series:
        return local_days(events, self._zone).dropna()

    def _covers(self, days: pd.Series, other: Delivery) -> bool:
        return bool(self._days(self._parts[other.path(self._layout)]).isin(days).all())

    def _shared_days(self, path: Path, events: pd.DataFrame) -> str:
        """The days of which earlier files have rows, with the number of rows; empty if there are none."""
        counted = {delivery.path(self._layout): delivery.replaces for delivery in self.deliveries}
        earlier = {
            other: part
            for other, part in self._parts.items()
            if (other in counted or not other.is_relative_to(self._layout.deliveries)) and not are_apart(other, path)
        }
        replacing = [other for other, replaces in counted.items() if replaces]
        if not earlier:
            return ""
        delivered = pd.concat(without_replaced(earlier, replacing, self._zone), ignore_index=True)
        delivered = EVENTS.conform(delivered, str(path))
        there, here = (local_days(frame, self._zone) for frame in (delivered, events))
        shared = sorted(set(there.dropna()) & set(here.dropna()))
        rows = pd.util.hash_pandas_object(delivered, index=False)
        same = pd.util.hash_pandas_object(events, index=False).isin(rows)
        counts = [
            f"{day:%Y-%m-%d}: {(there == day).sum():,} rows delivered, {(here == day).sum():,} here, "
            f"{same[here == day].sum():,} of them the same"
            for day in shared
        ]
        more = f"; and {len(counts) - _MAX_DAYS} more days" if len(counts) > _MAX_DAYS else ""
        return "; ".join(counts[:_MAX_DAYS]) + more
