"""The project folder around a retrain: kept before, brought back when the challenger was refused."""

import shutil
import subprocess
import sys
from pathlib import Path

from tierrec_core.errors import StageError
from tierrec_core.layout import Layout

_FILES = ("params.yaml", "dvc.lock", "data/evaluation/metrics.json")
_FEEDBACK = "data/feedback"
_DONE = "whole"


def keep(layout: Layout, folder: Path) -> None:
    """Copy what a retrain changes and DVC does not keep. A copy that is whole is left as it is: a retrain that goes on
    after a kill must not take its own changes for what was before."""
    if (folder / _DONE).exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    for name in _FILES:
        if (layout.root / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(layout.root / name, folder / name)
    shutil.copytree(layout.root / _FEEDBACK, folder / _FEEDBACK, dirs_exist_ok=True)
    (folder / _DONE).touch()


def restore(layout: Layout, folder: Path) -> None:
    """Put everything back, and every stage's outputs from DVC's cache. Raises StageError when DVC refuses."""
    for name in _FILES:
        if (folder / name).exists():
            shutil.copy2(folder / name, layout.root / name)
    shutil.rmtree(layout.root / _FEEDBACK)
    shutil.copytree(folder / _FEEDBACK, layout.root / _FEEDBACK)
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


def forget(folder: Path) -> None:
    """Throw the copy away."""
    shutil.rmtree(folder, ignore_errors=True)
