"""Backs up the project before a retrain, and restores it when the challenger is rejected.

Each file is replaced atomically, so that a kill or a full disk leaves none half-written; saving and restoring may be
repeated.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from flows.graph.dvc_locks import repair_dvc_lock_file
from tierrec_core.base import artifacts
from tierrec_core.base.errors import StageError
from tierrec_core.base.paths import Layout


def save_backup(layout: Layout, folder: Path) -> None:
    """Copy the files that a retrain changes and DVC does not store. Raises ArtifactError on a full disk.

    An existing backup is complete and stays as it is: a retrain that resumes after a kill must not back up its own
    changes.
    """
    if folder.exists():
        return
    with artifacts.replacing_folder(folder) as fresh:
        for name in _file_names(layout):
            if (layout.root / name).exists():
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(layout.root / name, fresh / name)


def restore_backup(layout: Layout, folder: Path) -> None:
    """Restore the files, and every stage's outputs from DVC's cache; files that are not in the backup are deleted.

    Raises ArtifactError on a full disk, StageError when DVC refuses.
    """
    repair_dvc_lock_file(layout.root)
    for name in {*_file_names(Layout(folder)), *_file_names(layout)}:
        if (folder / name).exists():
            with artifacts.replacing_file(layout.root / name) as fresh:
                shutil.copy2(folder / name, fresh)
        else:
            (layout.root / name).unlink(missing_ok=True)
    checkout = subprocess.run(
        [sys.executable, "-m", "dvc", "checkout", "--force", "--allow-missing"],
        cwd=layout.root,
        env=os.environ | {"DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
    )
    if checkout.returncode:
        message = " ".join((checkout.stderr or checkout.stdout).split())[-300:]
        raise StageError(
            f"{layout.root}: `dvc checkout` failed: {message}; run `tierrec run` to make the outputs again"
        )


def delete_backup(folder: Path) -> None:
    """Delete the backup, and temporary folders of interrupted ones."""
    for path in (folder, *folder.parent.glob(f".{folder.name}.*")):
        shutil.rmtree(path, ignore_errors=True)


def _file_names(layout: Layout) -> list[str]:
    """The files to back up, relative to the project, and all existing files of the feedback."""
    feedback = [path for path in layout.feedback.rglob("*") if path.is_file()]
    files = (layout.params, layout.dvc_lock, layout.metrics, *feedback)
    return [str(path.relative_to(layout.root)) for path in files]
