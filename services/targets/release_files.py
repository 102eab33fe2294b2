"""The folders of a release in a Bento store, and how they are copied to another one."""

import shutil
from pathlib import Path

from services.releases.pointer import Deployed, Pointer
from tierrec_core.base.artifacts import replacing_folder
from tierrec_core.base.errors import ArtifactError


def release_folders(release: Deployed) -> tuple[str, str]:
    """The folders of the model and of the Bento below a store; the Bento comes last, since it needs its model."""
    return f"models/{release.model.replace(':', '/')}", f"bentos/{release.bento.replace(':', '/')}"


def needed_releases(pointer: Pointer) -> list[Deployed]:
    """Champion and challenger, which every server must have."""
    return [release for release in (pointer.champion, pointer.challenger) if release is not None]


def require_stored(folder: Path, release: Deployed) -> None:
    """Raise ArtifactError unless the folder of a release exists."""
    if not folder.is_dir():
        raise ArtifactError(
            f"{folder}: is missing, wanted the files of {release.bento}; deploy a Bento that `tierrec releases` lists"
        )


def copy_release(store: Path, release: Deployed, destination: Path) -> None:
    """Copy a release to another store, unless it is there; each folder appears when it is complete.

    Raises ArtifactError when the store lacks it, or the other one cannot be written.
    """
    if not destination.is_dir():
        raise ArtifactError(f"{destination}: is missing, wanted the servers' folder of releases; mount it there")
    for folder in release_folders(release):
        if not (destination / folder).is_dir():
            require_stored(store / folder, release)
            with replacing_folder(destination / folder) as fresh:
                shutil.copytree(store / folder, fresh, dirs_exist_ok=True)
