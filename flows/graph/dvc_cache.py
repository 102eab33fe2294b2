"""Deletes objects of DVC's cache that nothing needs."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from flows.graph.dvc_graph import locked_repo
from tierrec_core.base.errors import SettingsError


def prune_cache(root: Path, locks: list[Mapping[str, Any]], *, dry_run: bool = False) -> tuple[int, int]:
    """Delete what neither dvc.lock nor one of these parsed dvc.lock files names; the number of objects and their bytes.

    A cache outside of the project is left alone, since other projects may use it. dry_run: count and delete nothing
    Raises SettingsError when DVC cannot list what is in use.
    """
    try:
        with locked_repo(root) as repo:
            cache = repo.cache.local
            if not Path(cache.path).is_relative_to(root):
                return 0, 0
            used = {found.value for names in repo.used_objs().values() for found in names}
            used |= {oid for lock in locks for oid in _named(repo, lock)}
            unused = [Path(cache.oid_to_path(oid)) for oid in cache.all() if oid not in used]
            freed = sum(path.stat().st_size for path in unused)
            # Lists of folders go first: one whose files are gone would be taken for complete.
            for path in [] if dry_run else sorted(unused, key=lambda path: path.suffix != ".dir"):
                path.unlink(missing_ok=True)
            return len(unused), freed
    except DvcException as error:
        raise SettingsError(f"{root}: DVC's cache cannot be pruned: {' '.join(str(error).split())}") from error


def _named(repo: Repo, lock: Mapping[str, Any]) -> Iterator[str]:
    """The objects of all outputs that a dvc.lock names, with the files of folders."""
    for stage in lock.get("stages", {}).values():
        for out in stage.get("outs", ()):
            yield (oid := str(out.get("md5", "")))
            listing = Path(repo.cache.local.oid_to_path(oid))
            if oid.endswith(".dir") and listing.exists():
                yield from (entry["md5"] for entry in json.loads(listing.read_text()))
