"""Reads the project's Bento store: the stored Bentos and the bundles of their models."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from services.releases.manifest import BUNDLE
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout


@dataclass(frozen=True)
class StoredBento:
    """A Bento of the store: its tag, its model's tag, its labels, and when it was built (ISO 8601)."""

    tag: str
    model: str
    labels: Mapping[str, str]
    built: str

    @classmethod
    def read(cls, path: Path) -> "StoredBento":
        """Read a bento.yaml. BentoML's own reader takes the store from the environment, once per process."""
        try:
            raw = YAML(typ="safe").load(path.read_text())
            return cls(
                tag=f"{raw['name']}:{raw['version']}",
                model=str(raw["models"][0]["tag"]),
                labels={str(key): str(value) for key, value in raw["labels"].items()},
                built=str(raw["creation_time"]),
            )
        except (OSError, YAMLError, LookupError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"{path}: is not a readable Bento ({error!r:.200}); delete its folder and run `tierrec run`"
            ) from error


def list_bentos(layout: Layout) -> list[StoredBento]:
    """All Bentos of the store, newest first. Raises ArtifactError when one cannot be read."""
    bentos = [StoredBento.read(path) for path in layout.bento_home.glob("bentos/*/*/bento.yaml")]
    return sorted(bentos, key=lambda bento: bento.built, reverse=True)


def bundle_of(layout: Layout, model: str) -> Path:
    """Folder of a stored model's bundle, by its exact tag. Raises ArtifactError when it is not in the store."""
    name, _, version = model.partition(":")
    folder = layout.bento_home / "models" / name / version / BUNDLE
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: is missing, wanted the model of a release; run `tierrec run` and deploy again")
    return folder
