"""What a project's files hold on the disk, and the removal of what no release and no current output needs."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.graph.dvc_cache import prune_cache
from flows.project.git import query_git
from flows.project.lock import project_lock
from flows.project.release_log import list_releases
from services.deployment.bento_store import list_bentos
from tierrec_core.base.paths import Layout


@dataclass(frozen=True)
class DiskUse:
    """One kind of files. freed: of the bytes, those that `tierrec clean` would free"""

    kind: str
    bytes: int
    freed: int = 0


def disk_usage(layout: Layout) -> Iterator[DiskUse]:
    """Bytes of each kind of files of the project; those that are links to DVC's cache count there alone."""
    counted = set[tuple[int, int]]()
    freed = prune_cache(layout.root, _release_locks(layout), dry_run=True)[1]
    yield DiskUse("DVC's cache: outputs of the stages", _size(layout.root / ".dvc", counted), freed)
    for kind, folder in (
        ("Bentos and models of releases", layout.bento_home),
        ("the service's store and state", layout.serving),
        ("records, pages and logs of the loop", layout.loop),
        ("deliveries", layout.deliveries),
        ("feedback for the next run", layout.feedback),
        ("outputs of the stages that are no links", layout.data),
        ("Prefect's database", layout.prefect_home),
        ("git: code and settings of releases", layout.root / ".git"),
    ):
        yield DiskUse(kind, _size(folder, counted))


def clean_project(layout: Layout, *, dry_run: bool = False) -> tuple[int, int]:
    """Delete objects of DVC's cache that neither current outputs nor a Bento of the store need; their number and bytes.

    A release whose Bento left the store can be reproduced no more, unless its source made the raw frames anew or a DVC
    remote has them. Waits for a flow that changes the project. dry_run: delete nothing
    """
    with project_lock(layout.root, "clean"):
        return prune_cache(layout.root, _release_locks(layout), dry_run=dry_run)


def _release_locks(layout: Layout) -> list[Mapping[str, Any]]:
    """dvc.lock of each release that is in the store, and of each backup of a retrain under way."""
    stored = {bento.tag for bento in list_bentos(layout)}
    prefix = query_git(layout.root, "rev-parse", "--show-prefix")
    texts = [
        query_git(layout.root, "show", f"{release.revision}:{prefix}{layout.dvc_lock.name}")
        for release in list_releases(layout)
        if release.tag in stored and release.revision
    ]
    texts += [path.read_text() for path in layout.loop.rglob(layout.dvc_lock.name)]
    yaml = YAML(typ="safe")
    return [yaml.load(text) for text in texts if text]


def _size(folder: Path, counted: set[tuple[int, int]]) -> int:
    """Bytes of the folder's files that were not counted yet, which is noted."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            status = (Path(place) / name).lstat()
            if (status.st_dev, status.st_ino) not in counted:
                counted.add((status.st_dev, status.st_ino))
                size += status.st_size
    return size
