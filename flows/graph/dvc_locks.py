"""Repairs DVC's file of read and write locks, which a kill or a full disk may cut short."""

import json
from pathlib import Path

from dvc.lock import make_lock
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK, SCHEMA, Invalid


def repair_dvc_lock_file(root: Path) -> None:
    """Delete the file if it is not whole, since DVC would refuse every command; without it, no path is locked."""
    folder = root / ".dvc" / "tmp"
    if not (folder / RWLOCK_FILE).exists():
        return
    with make_lock(str(folder / RWLOCK_LOCK), tmp_dir=str(folder)):
        try:
            SCHEMA(json.loads((folder / RWLOCK_FILE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return
        except (ValueError, Invalid):
            (folder / RWLOCK_FILE).unlink()
