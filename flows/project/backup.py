"""The project folder around a retrain: kept before, brought back when the challenger was refused.

Every file is put in its place in one step, so that a kill or a full disk leaves none half-written; both may be done
again by whoever comes next.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tierrec_core.base import artifacts
from tierrec_core.base.errors import StageError
from tierrec_core.base.paths import Layout

_IN_USE = ".dvc/tmp/rwlock"  # by which DVC's processes tell each other what they read and write


def save_backup(layout: Layout, folder: Path) -> None:
    """Copy what a retrain changes and DVC does not keep. Raises ArtifactError on a full disk.

    A copy that is there is whole, and is left as it is: a retrain that goes on after a kill must not take its own
    changes for what was before.
    """
    if folder.exists():
        return
    with artifacts.replacing_folder(folder) as fresh:
        for name in _file_names(layout):
            if (layout.root / name).exists():
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(layout.root / name, fresh / name)


def restore_backup(layout: Layout, folder: Path) -> None:
    """Put everything back, and every stage's outputs from DVC's cache; what was not there before goes.

    Raises ArtifactError on a full disk, StageError when DVC refuses.
    """
    repair_dvc_lock_file(layout)
    for name in {*_file_names(Layout(folder)), *_file_names(layout)}:
        if (folder / name).exists():
            with artifacts.replacing_file(layout.root / name) as fresh:
                shutil.copy2(folder / name, fresh)
        else:
            (layout.root / name).unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "checkout", "--force", "--allow-missing"],
        cwd=layout.root,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise StageError(
            f"{layout.root}: `dvc checkout` failed: {said}; run `tierrec run` to make the outputs again"
        )


def repair_dvc_lock_file(layout: Layout) -> None:
    """Remove what DVC's processes tell each other where a kill or a full disk has torn it: DVC would never work again.

    Only for who holds the project's lock: then nobody has anything to tell.
    """
    path = layout.root / _IN_USE
    try:
        json.loads(path.read_text())
    except ValueError:
        path.unlink()
    except FileNotFoundError:
        return


def delete_backup(folder: Path) -> None:
    """Throw the copy away, with what kills left of its making."""
    for one in (folder, *folder.parent.glob(f".{folder.name}.*")):
        shutil.rmtree(one, ignore_errors=True)


def _file_names(layout: Layout) -> list[str]:
    """The files to back up, relative to the project; those of the feedback as far as they exist."""
    feedback = [path for path in layout.feedback.rglob("*") if path.is_file()]
    files = (layout.params, layout.dvc_lock, layout.metrics, *feedback)
    return [str(path.relative_to(layout.root)) for path in files]
