"""What `tierrec status` says of a project: what is stale, the last run, the age of the data, and who serves users."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from flows.graph.dvc_graph import StageGraph, find_stale_stages
from flows.project.champion import read_pointer
from services.releases.pointer import Pointer
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout


@dataclass(frozen=True)
class ProjectStatus:
    """Becomes JSON by dataclasses.asdict.

    stale: stages that a run would rerun; last_run: its end and seconds, empty if there was none
    data_until: of the newest event that is prepared (UTC); champion, challenger: tags of Bentos
    champion_since: when the champion became it; share: of users whom the challenger serves
    """

    stale: tuple[str, ...]
    last_run: dict[str, Any]
    data_until: datetime | None
    champion: str | None
    champion_since: datetime | None
    challenger: str | None
    share: float

    @classmethod
    def of(cls, layout: Layout) -> "ProjectStatus":
        """Read the status; nothing is changed."""
        pointer = read_pointer(layout)
        runs = sorted(layout.runs.glob("*.json"))
        last = artifacts.read_json(runs[-1]) if runs else {}
        return cls(
            stale=tuple(StageGraph.read(layout.root).affected(find_stale_stages(layout.root))),
            last_run={name: last[name] for name in ("ended", "seconds") if name in last},
            data_until=_newest_time(layout.prepared_events),
            champion=pointer.champion.bento if pointer else None,
            champion_since=_champion_since(pointer) if pointer else None,
            challenger=pointer.challenger.bento if pointer and pointer.challenger else None,
            share=pointer.share if pointer else 0.0,
        )

    def describe(self) -> Iterator[str]:
        """One line for each part."""
        yield f"stale: {', '.join(self.stale) or 'nothing'}"
        last = self.last_run
        yield f"last run: {last['ended']}, {last['seconds']:.0f} s" if last else "last run: none"
        if self.data_until:
            days = (datetime.now(UTC) - self.data_until).days
            yield f"data until: {self.data_until:%Y-%m-%d %H:%M}, {days} days ago"
        since = f", since {self.champion_since:%Y-%m-%d %H:%M}" if self.champion_since else ""
        yield f"champion: {self.champion or 'none'}{since}"
        if self.challenger:
            yield f"challenger: {self.challenger}, {self.share:.0%} of users"


def _newest_time(events: Path) -> datetime | None:
    """The greatest timestamp, by the file's statistics; None without a whole file or statistics."""
    try:
        metadata = pq.read_metadata(events)
        column = metadata.schema.names.index("timestamp")
    except (OSError, ValueError):  # the next run makes it again
        return None
    groups = (metadata.row_group(number).column(column).statistics for number in range(metadata.num_row_groups))
    return max((group.max for group in groups if group and group.has_min_max), default=None)


def _champion_since(pointer: Pointer) -> datetime | None:
    """When the present champion was made it; None where the history no longer tells."""
    since = None
    for change in reversed(pointer.history):
        if change.champion != pointer.champion:
            return since
        since = change.at
    return since if pointer.revision == len(pointer.history) else None
