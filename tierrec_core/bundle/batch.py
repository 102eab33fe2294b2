"""Writes ranked lists of all known users as Parquet parts, in bounded memory; a restart writes only missing parts."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.errors import SettingsError
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.linalg.top_k import TopK

MANIFEST = "manifest.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchPart:
    """The users from row `first` to before row `last`, and all that determines their lists."""

    bundle: str
    task: str
    k: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """The file's name; names sort in order of rows."""
        return f"part-{self.first:09d}.parquet"

    def is_in(self, folder: Path) -> bool:
        """Whether the folder has this part, by the attributes stored in the file; files are written atomically."""
        try:
            return bool(pd.read_parquet(folder / self.name, columns=[]).attrs == asdict(self))
        except (OSError, ValueError):
            return False


def write_lists(
    bundle: Bundle,
    task: str,
    folder: Path,
    *,
    fingerprint: str,
    k: int = 20,
    batch: int = 1024,
    progress: Callable[[str], None] = log.info,
) -> dict[str, object]:
    """Write every known user's first k items of the task to the folder and return the manifest.

    Files are part-*.parquet with user_id, item_id, rank from 1 and score, in order of the bundle's users, and
    manifest.json, which exists only when all parts do. Parts of the same bundle, k and batch are reused.
    fingerprint: identifies the bundle; batch: users per part; progress: called with a line per part.
    Raises SettingsError for a task that the bundle lacks, ArtifactError when the disk is full or not writable.
    """
    if task not in bundle.tasks:
        raise SettingsError(f"batch: task {task!r} is unknown; wanted one of {', '.join(bundle.tasks)}")
    count = bundle.history.num_users
    parts = [BatchPart(fingerprint, task, k, first, min(first + batch, count)) for first in range(0, count, batch)]
    missing = [part for part in parts if not part.is_in(folder)]
    if missing:
        (folder / MANIFEST).unlink(missing_ok=True)
    if len(missing) < len(parts):
        progress(f"batch {task}: {len(parts) - len(missing)} of {len(parts)} parts already exist")
    _write_parts(bundle, missing, folder, progress)
    header = {"bundle": fingerprint, "task": task, "k": k, "users": count}
    return _write_manifest(folder, header, parts)


def _write_parts(bundle: Bundle, parts: list[BatchPart], folder: Path, progress: Callable[[str], None]) -> None:
    started, done = time.perf_counter(), 0
    for number, part in enumerate(parts, start=1):
        rows = np.arange(part.first, part.last)
        ranked = bundle.recommend(part.task, bundle.history.select_users(rows), part.k)
        artifacts.write_frame(_frame(bundle, part, ranked), folder / part.name)
        done += len(rows)
        rate = done / (time.perf_counter() - started)
        progress(f"batch {part.task}: part {number} of {len(parts)}, {done} users, {rate:.0f} per second")


def _frame(bundle: Bundle, part: BatchPart, ranked: TopK) -> pd.DataFrame:
    """One row per item of a list; the part is stored as attributes of the frame."""
    row, position = np.nonzero(ranked.items >= 0)
    frame = pd.DataFrame(
        {
            "user_id": bundle.history.users[part.first + row],
            "item_id": bundle.history.items[ranked.items[row, position]],
            "rank": (position + 1).astype(np.int32),
            "score": ranked.scores[row, position].astype(np.float32),
        }
    )
    frame.attrs |= asdict(part)
    return frame


def _write_manifest(folder: Path, header: Mapping[str, object], parts: list[BatchPart]) -> dict[str, object]:
    """Delete files of other runs, then list the parts."""
    names = {part.name for part in parts}
    for path in [*folder.glob("part-*.parquet"), *folder.glob(".part-*")]:
        if path.name not in names:
            path.unlink()
    files = {
        part.name: {
            "users": part.last - part.first,
            "rows": len(pd.read_parquet(folder / part.name, columns=["rank"])),
            "sha256": artifacts.sha256(folder / part.name),
        }
        for part in parts
    }
    manifest = {**header, "parts": files}
    artifacts.write_json(manifest, folder / MANIFEST)
    return manifest
