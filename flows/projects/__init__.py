"""Projects of shops: a new one from the template, and the platform's files in it after an upgrade."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from flows.graph.dvc_graph import StageGraph, find_stale_stages
from flows.project.champion import read_pointer
from flows.project.git import query_git, run_git
from flows.project.params import replace_sections
from flows.project.snapshots import identity
from tierrec_core.base import artifacts
from tierrec_core.base.errors import SettingsError, StageError
from tierrec_core.base.paths import Layout

_TEMPLATE = Path(__file__).with_name("template")
_PLATFORM_FILES = {  # by name in a project; DVC would take a dvc.yaml in the template for a part of this repository
    "dvc.yaml": "stages.yaml",
    "prefect.yaml": "prefect.yaml",
    "constraints.txt": "constraints.txt",
    ".dvcignore": "dvcignore",
}
_SHOP_FILES = {"params.yaml": "params.yaml", "README.md": "README.md", ".gitignore": "gitignore"}
_NO_SOURCE = {"source": {"kind": "files", "feedback": True, "paths": []}}


def create_project(folder: Path, *, demo: bool) -> None:
    """Make a project in a new or empty folder, as a repository of git and DVC with a first commit.

    In a folder of a git repository it becomes a part of that one, and nothing is committed.
    demo: keep the settings and the log of the demo; otherwise params.yaml has no files yet
    Raises SettingsError when the folder has files, StageError when DVC fails, RevisionError when git does.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder}: exists and is not empty, wanted the name of a new folder")
    with artifacts.replacing_folder(folder) as fresh:
        for name, template in (_PLATFORM_FILES | _SHOP_FILES).items():
            _copy(_TEMPLATE / template, fresh / name)
        layout = Layout(fresh)
        layout.feedback.mkdir(parents=True)
        (layout.feedback / ".gitkeep").touch()
        if not demo:
            replace_sections(layout.params, _NO_SOURCE)
        _init_repositories(fresh)


def _init_repositories(folder: Path) -> None:
    is_part = bool(query_git(folder, "rev-parse", "--show-toplevel"))
    if not is_part:
        run_git(folder, "init", "--quiet")
    _init_dvc(folder, is_part)
    if not is_part:
        run_git(folder, "add", "--all")
        run_git(folder, "commit", "--quiet", "-m", "New project of tierrec", environment=identity(folder))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with artifacts.replacing_file(target) as fresh:
        shutil.copyfile(source, fresh)


def _init_dvc(folder: Path, is_part: bool) -> None:
    command = [sys.executable, "-m", "dvc", "init", "--quiet", *(["--subdir"] if is_part else [])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise StageError(f"{folder}: `dvc init` failed: {' '.join(done.stderr.split())[-300:]}")
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n")


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade of the platform means for a project.

    replaced: the platform's files that differed; stale: stages that the next run will rerun, in order
    champion: tag of the Bento that serves on, with the code that it was built from; None without one
    """

    replaced: tuple[str, ...]
    stale: tuple[str, ...]
    champion: str | None


def upgrade_project(layout: Layout) -> Upgrade:
    """Replace the platform's files of a project by those of the installed version, and find what will run again.

    Raises SettingsError for a file that differs from the last commit, since a change to it would be lost.
    """
    outdated = {
        name: _TEMPLATE / template
        for name, template in _PLATFORM_FILES.items()
        if not _is_equal(layout.root / name, _TEMPLATE / template)
    }
    for name in outdated:
        if query_git(layout.root, "status", "--porcelain", "--", name):
            raise SettingsError(
                f"{layout.root / name}: has changes that are not committed, and the new version replaces it; commit "
                "them, upgrade, and merge what you need by `git diff HEAD`"
            )
    for name, template in outdated.items():
        _copy(template, layout.root / name)
    pointer = read_pointer(layout)
    return Upgrade(
        tuple(outdated),
        tuple(StageGraph.read(layout.root).affected(find_stale_stages(layout.root))),
        pointer.champion.bento if pointer else None,
    )


def _is_equal(path: Path, other: Path) -> bool:
    return path.exists() and path.read_bytes() == other.read_bytes()
