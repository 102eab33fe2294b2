"""Which Bentos are in the store, and which of them may be deployed: only one that serves the judged lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from services.releases.manifest import BUNDLE
from services.releases.smoke_report import SmokeReport
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings, parse


@dataclass(frozen=True)
class StoredBento:
    """A Bento of the project's store: its tag, its model's, its labels, and when it was built (ISO 8601)."""

    tag: str
    model: str
    labels: Mapping[str, str]
    built: str


def stored(layout: Layout) -> list[StoredBento]:
    """All Bentos of the store, the newest first. Raises ArtifactError when one cannot be read."""
    found = [_read(path) for path in layout.bento_home.glob("bentos/*/*/bento.yaml")]
    return sorted(found, key=lambda one: one.built, reverse=True)


def admit(layout: Layout, settings: Settings, tag: str | None = None) -> SmokeReport:
    """The smoke test's report of a Bento: the packaged one's is at hand, another is started and tested now.

    tag: None = the packaged one. Raises ArtifactError when there is no such Bento, GateError when its lists are not
    the judged ones.
    """
    packaged = SmokeReport.read(layout.bento) if tag is None or layout.bento.exists() else None
    known = {one.tag: one for one in stored(layout)}
    if packaged is not None and tag in (None, packaged.tag):
        packaged.require_passed()
        if packaged.tag not in known:
            from services.deployment.package import ensure

            ensure(layout, settings)
        return packaged
    if tag not in known:
        raise ArtifactError(
            f"deploy: {tag} is not in the store, wanted one of {', '.join(known) or 'none'}; see `tierrec releases`"
        )
    return _test(layout, settings, known[tag])


def _test(layout: Layout, settings: Settings, bento: StoredBento) -> SmokeReport:
    from services.deployment import smoke

    counts: Mapping[str, Any] = smoke.check(layout, settings, bento.tag)
    raw = {"tag": bento.tag, "model": bento.model, "labels": dict(bento.labels), "smoke": counts}
    return parse(SmokeReport, raw, f"deploy: {bento.tag}")


def _read(path: Path) -> StoredBento:
    """One bento.yaml. BentoML's own reader would first have to be given the project's store, once a process."""
    try:
        raw = YAML(typ="safe").load(path.read_text())
        return StoredBento(
            tag=f"{raw['name']}:{raw['version']}",
            model=str(raw["models"][0]["tag"]),
            labels={str(key): str(value) for key, value in raw["labels"].items()},
            built=str(raw["creation_time"]),
        )
    except (OSError, YAMLError, LookupError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path}: is no readable Bento ({error!r:.200}); delete its folder and run `tierrec run`"
        ) from error


def bundle_of(layout: Layout, model: str) -> Path:
    """Folder of a stored model's bundle, by its exact tag. Raises ArtifactError when the store has lost it."""
    name, _, version = model.partition(":")
    folder = layout.bento_home / "models" / name / version / BUNDLE
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: is missing, wanted the model of a release; run `tierrec run` and deploy again")
    return folder
