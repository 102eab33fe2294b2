"""Deliveries: further files of the log that `tierrec add` stored in the project, in the order in which they came."""

from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path

import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, UnreadableFileError
from tierrec_core.base.params import Params, parse
from tierrec_core.base.paths import Layout
from tierrec_core.sources.input_files.partitions import are_apart


class Delivery(Params):
    """One file. name: of the file that was given, in the folders that say what its rows are, such as partitions.

    replaces: rows of its days in earlier files do not count
    """

    name: str
    sha256: str
    replaces: bool = False

    def folder(self, layout: Layout) -> Path:
        """A folder that is named after the content, and after the folders of the file, as several may have the same."""
        folders = self.name.rpartition("/")[0]
        known = sha256(f"{folders} {self.sha256}".encode()).hexdigest() if folders else self.sha256
        return layout.deliveries / known[:16]

    def path(self, layout: Layout) -> Path:
        """The stored file."""
        return self.folder(layout) / self.name


def read_deliveries(layout: Layout) -> list[Delivery]:
    """All deliveries, oldest first.

    Raises UnreadableFileError when a file is missing, ArtifactError when the list is, or has another content.
    """
    path = layout.delivery_list
    if not path.exists() and any(file.is_dir() and not file.is_symlink() for file in layout.deliveries.glob("*")):
        raise ArtifactError(f"{path}: is missing; restore it, or delete {layout.deliveries} and add its files again")
    rows = artifacts.read_json(path) if path.exists() else []
    if not isinstance(rows, list):
        raise ArtifactError(f"{path}: has no list of deliveries; restore it, or delete it and add the files again")
    deliveries = [parse(Delivery, row, str(path)) for row in rows]
    for delivery in deliveries:
        if not delivery.path(layout).is_file():
            raise UnreadableFileError(
                f"{delivery.path(layout)}: was added and is missing; put it back, or delete it from {path}"
            )
    return deliveries


def local_days(events: pd.DataFrame, timezone: str) -> pd.Series:
    """The day of each event in the source's timezone, [N]; NaT without a time."""
    days: pd.Series = events["timestamp"].dt.tz_convert(timezone).dt.tz_localize(None).dt.floor("D")
    return days


def without_replaced(
    parts: Mapping[Path, pd.DataFrame], replacing: Collection[Path], timezone: str
) -> list[pd.DataFrame]:
    """The events of each file, in order, without those of days for which a later file of `replacing` has events.

    Files of other partitions have other rows, and keep them.
    """
    kept = dict[Path, pd.DataFrame]()
    for path, events in parts.items():
        days = local_days(events, timezone).dropna().unique() if path in replacing else ()
        for other in kept if len(days) else ():
            if not are_apart(path, other):
                kept[other] = kept[other][~local_days(kept[other], timezone).isin(days)]
        kept[path] = events
    return list(kept.values())
