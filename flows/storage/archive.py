"""One file with all that a project needs to go on elsewhere, and a project from such a file."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

from flows.project.lock import project_lock
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, SettingsError, StageError
from tierrec_core.base.paths import Layout

_SQLITE = b"SQLite format 3\x00"
_MADE_AGAIN = (".venv", ".prefect", ".dvc/tmp", "data/loop/stack", "data/loop/remote", "data/loop/project.lock")


def back_up(layout: Layout, file: Path) -> int:
    """Write the project into a tar file that its owner alone can read; returns its bytes.

    It has git's history and the releases' revisions, DVC's cache, Bentos, the state and store of the service, and the
    loop's records; not Prefect's database, the outputs that DVC restores, and a store outside of the project. Databases
    of SQLite are copied as they are at one moment, also while the service writes. A flow that changes the project is
    waited for. Raises ArtifactError on a full disk.
    """
    layout = Layout(layout.root.resolve())
    outputs = _outputs(layout)
    with project_lock(layout.root, "backup"), artifacts.replacing_file(file) as fresh:
        fresh.touch(mode=0o600)
        with tarfile.open(fresh, "w") as archive:
            for path in _files(layout.root, outputs | {file.resolve(), fresh.resolve()}):
                _add(archive, path, str(path.relative_to(layout.root)))
    return file.stat().st_size


def restore(file: Path, folder: Path) -> Layout:
    """Make the project of a backup in a new or empty folder, with the stages' outputs from DVC's cache.

    Raises SettingsError when the folder has files, ArtifactError when the file is no backup, StageError when DVC fails.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder}: exists and is not empty, wanted a new folder for the project")
    try:
        with tarfile.open(file) as archive, artifacts.replacing_folder(folder) as fresh:
            archive.extractall(fresh, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise ArtifactError(f"{file}: cannot be restored ({error}), wanted a file of `tierrec backup`") from error
    layout = Layout(folder.resolve())
    if layout.bento_home.exists():
        layout.bento_home.chmod(0o700)  # as `package` makes it
    command = [sys.executable, "-m", "dvc", "checkout", "--force", "--allow-missing", "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise StageError(f"{folder}: `dvc checkout` failed: {' '.join(done.stderr.split())[-300:]}; run `tierrec run`")
    return layout


def _outputs(layout: Layout) -> set[Path]:
    """The outputs of stages that DVC's cache has."""
    lock = YAML(typ="safe").load(layout.dvc_lock.read_text()) if layout.dvc_lock.exists() else {}
    uncached = {layout.metrics}
    outs = [layout.root / out["path"] for stage in lock.get("stages", {}).values() for out in stage.get("outs", ())]
    return set(outs) - uncached


def _files(root: Path, left_out: set[Path]) -> Iterator[Path]:
    """Files, links and empty folders of the project without those that are left out, in the order of their names."""
    left_out = left_out | {root / name for name in _MADE_AGAIN}
    for place, folders, names in os.walk(root):
        here = Path(place)
        folders[:] = sorted(name for name in folders if here / name not in left_out)
        links = [name for name in folders if (here / name).is_symlink()]
        yield from (here / name for name in sorted([*names, *links]) if here / name not in left_out)
        if not (folders or names):
            yield here


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file; of a SQLite database a copy as of now, without its log."""
    if name.endswith(("-wal", "-shm", "-journal")):
        return
    if not path.is_file() or path.is_symlink() or path.open("rb").read(len(_SQLITE)) != _SQLITE:
        with contextlib.suppress(FileNotFoundError):  # temporary files come and go
            archive.add(path, name, recursive=False)
        return
    with tempfile.NamedTemporaryFile() as copy:
        with (
            contextlib.closing(sqlite3.connect(path)) as database,
            contextlib.closing(sqlite3.connect(copy.name)) as to,
        ):
            database.backup(to)
        archive.add(copy.name, name)
