"""The code that each stage runs, and a version of it in the project, by which DVC knows when a stage must run again."""

import hashlib
import json
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

from tierrec_core.base import artifacts

FOLDERS = "tierrec_core/stage_code/folders.json"  # of each stage; `python -m flows.deps --write` writes it
VERSIONS = "code_versions.json"  # of a project
KIND = "${item.kind}"  # stands for the kind of each model
_MODELS = Path("tierrec_core/models")


def code_root(root: Path) -> Path:
    """The folder of the code that a project's stages run: its own where it has one, else that of the installation."""
    return root if (root / "tierrec_core").is_dir() else Path(__file__).parents[2]


def code_folders(code: Path) -> dict[str, list[str]]:
    """By stage: the folders and files that it runs, relative to the code's root; KIND stands for a kind of model.

    Empty for code of before 0.2, whose dvc.yaml names them.
    """
    file = code / FOLDERS
    folders: dict[str, list[str]] = json.loads(file.read_text()) if file.exists() else {}
    return folders


def write_code_versions(root: Path) -> None:
    """Write the version of each stage's code into the project, if it has changed, for the params of its dvc.yaml."""
    text = json.dumps(_code_versions(code_root(root)), indent=2) + "\n"
    path = root / VERSIONS
    if not path.exists() or path.read_text() != text:
        with artifacts.replacing_file(path) as fresh:
            fresh.write_text(text)


def _code_versions(code: Path) -> dict[str, Any]:
    """By stage: the hash of its code; by kind of model where it depends on that."""
    kinds = sorted(path.name for path in (code / _MODELS).iterdir() if (path / "__init__.py").is_file())
    folder_hash = cache(partial(_hash, code))

    def version(folders: Iterable[str]) -> str:
        return hashlib.sha256(" ".join(map(folder_hash, folders)).encode()).hexdigest()[:16]

    return {
        stage: {kind: version(folder.replace(KIND, kind) for folder in folders) for kind in kinds}
        if any(KIND in folder for folder in folders)
        else version(folders)
        for stage, folders in code_folders(code).items()
    }


def _hash(code: Path, path: str) -> str:
    """Hash of the names and contents of a folder's files, or of a file."""
    digest = hashlib.sha256()
    for file in [code / path] if (code / path).is_file() else sorted((code / path).rglob("*")):
        if file.is_file() and file.parent.name != "__pycache__":
            digest.update(f"{file.relative_to(code)} {artifacts.sha256(file)}\n".encode())
    return digest.hexdigest()
