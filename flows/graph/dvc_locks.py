"""Repairs dvc.lock and DVC's file of read and write locks, which a kill or a full disk may cut short."""

import json
import logging
import re
from pathlib import Path

from dvc.lock import make_lock
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK, SCHEMA, Invalid
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import YAMLFileCorruptedError, parse_yaml

from tierrec_core.base import artifacts

_log = logging.getLogger(__name__)
_STAGE = re.compile(r"^  \S+:\n", re.MULTILINE)


def repair_dvc_lock(path: Path) -> None:
    """Keep the stages of a dvc.lock that stand before the damage, since DVC would refuse every command.

    The others are stale; DVC restores the outputs of those that it has run before from its cache.
    """
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
    if text is None or _is_lock(text, path):
        return
    starts = [found.start() for found in _STAGE.finditer(text)]
    whole = next((text[:start] for start in reversed(starts) if _is_lock(text[:start], path)), "")
    if whole:
        with artifacts.replacing_file(path) as fresh:
            fresh.write_text(whole, encoding="utf-8")
    else:
        path.unlink()
    _log.warning("%s was damaged; %d stages are kept, the others are stale", path, len(_STAGE.findall(whole)))


def _is_lock(text: str, path: Path) -> bool:
    try:
        COMPILED_LOCKFILE_SCHEMA(parse_yaml(text, str(path)))
    except (YAMLFileCorruptedError, Invalid):
        return False
    return True


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
