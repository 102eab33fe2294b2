"""What a Bento carries beside code and model: which model is its own, and the labels it goes by."""

import hashlib
from pathlib import Path
from typing import Self

from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError
from tierrec_core.settings import Params, parse

FILE = "release.json"
BUNDLE = "bundle"
_LENGTH = 16  # hex digits of a version: 64 bits, short enough to read out


class ReleaseManifest(Params):
    """Written when the Bento is built, read when it starts.

    bento, model: exact tags; the model's version is the fingerprint of its bundle
    default_task: answers requests that name none
    """

    bento: str
    model: str
    default_task: str
    labels: dict[str, str]

    @property
    def model_version(self) -> str:
        """The fingerprint of the bundle."""
        return self.model.partition(":")[2]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read release.json of the folder. Raises ArtifactError when it is missing or damaged."""
        return parse(cls, artifacts.read_json(folder / FILE), str(folder / FILE))

    def write(self, folder: Path) -> None:
        """Write release.json into the folder."""
        artifacts.write_json(self.model_dump(), folder / FILE)

    def verify(self, bundle: Path) -> None:
        """Raise ArtifactError unless every byte of the bundle is as it was packaged."""
        found = fingerprint(bundle)
        if found != self.model_version:
            raise ArtifactError(
                f"{bundle}: is damaged: its hash is {found}, wanted {self.model_version}; "
                "`tierrec serve` and `tierrec run` build it again from data/package"
            )


def fingerprint(folder: Path) -> str:
    """A version that depends on the names and bytes of all files below the folder, and on nothing else."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return version_of(*(f"{path.relative_to(folder).as_posix()} {artifacts.sha256(path)}" for path in files))


def version_of(*parts: str) -> str:
    """A short version made of texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_LENGTH]
