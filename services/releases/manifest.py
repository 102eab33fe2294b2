"""release.json inside a Bento, which names its model, and bento.json, the report of its smoke test."""

import hashlib
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, GateError
from tierrec_core.settings import Params, parse

FILE = "release.json"
BUNDLE = "bundle"
_VERSION_DIGITS = 16  # hex, so 64 bits


class ReleaseManifest(Params):
    """release.json: written when the Bento is built, read when it starts.

    bento, model: exact tags; the model's version is the fingerprint of its bundle
    default_task: the task of requests that name none
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
        """Raise ArtifactError unless every byte of the bundle is as packaged."""
        version = fingerprint(bundle)
        if version != self.model_version:
            raise ArtifactError(
                f"{bundle}: is damaged: its hash is {version}, wanted {self.model_version}; "
                "`tierrec serve` and `tierrec run` build it again from data/package"
            )


class SmokeCount(Params):
    """Number of users whose lists were requested, and of those who got the evaluated list."""

    model_config = ConfigDict(extra="ignore")

    users: PositiveInt
    identical: NonNegativeInt


class SmokeReport(Params):
    """bento.json: a packaged Bento and its smoke test's counts by task; other keys are ignored."""

    model_config = ConfigDict(extra="ignore")

    tag: str
    model: str
    labels: dict[str, str] = Field(default_factory=dict)
    smoke: dict[str, SmokeCount]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read bento.json. Raises ArtifactError when it is missing, SettingsError when it is invalid."""
        if not path.exists():
            raise ArtifactError(f"{path}: is missing, wanted a packaged Bento; run `tierrec run`")
        return parse(cls, artifacts.read_json(path), str(path))

    def require_passed(self) -> None:
        """Raise GateError unless lists were compared and all were identical."""
        failed = [f"{task} {n.identical} of {n.users}" for task, n in self.smoke.items() if n.identical != n.users]
        if failed or not self.smoke:
            raise GateError(
                f"deploy: {self.tag} has not passed its smoke test: {', '.join(failed) or 'no list was compared'}; "
                "wanted every served list to equal the evaluated one\nrun `tierrec run` and deploy what it packages"
            )


def fingerprint(folder: Path) -> str:
    """A version that depends only on the names and bytes of the files below the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return version_of(*(f"{path.relative_to(folder).as_posix()} {artifacts.sha256(path)}" for path in files))


def version_of(*parts: str) -> str:
    """A short hash of texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_VERSION_DIGITS]
