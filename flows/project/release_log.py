"""What is written down of each release: why it came, how it goes, and the revision from which it can be made again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from flows.project import snapshots
from flows.project.snapshots import RevisionError
from services.releases.smoke_report import SmokeReport
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Params, parse, read_settings

State = Literal["released", "promoted", "rolled back"]


class ReleaseMetrics(Params):
    """metrics.json of a release: its hash, and the main figure of the blend by task as the Bento's labels have it."""

    sha256: str
    headline: dict[str, str] = Field(default_factory=dict)


class ReleaseChange(Params):
    """One step of a release: when (UTC, ISO 8601), what it came to, and why."""

    at: str
    state: State
    reason: str


class ReleaseRecord(Params):
    """One release. tag, model: of Bento and model; reason: why it was made.

    revision: the commit that holds code, params.yaml, dvc.yaml, dvc.lock and metrics.json; None where there is none,
    and unrecorded says why
    gate: path of the gate's report below the project
    feedback: whether the log held the service's feedback, of which git and DVC keep no export
    stale: stages whose outputs were not of this revision when it was recorded
    """

    tag: str
    model: str
    at: str
    revision: str | None
    unrecorded: str = ""
    reason: str
    state: State = "released"
    gate: str | None
    metrics: ReleaseMetrics | None
    feedback: bool
    stale: tuple[str, ...] = ()
    changes: tuple[ReleaseChange, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ArtifactError when the file cannot be read, SettingsError when it holds something else."""
        return parse(cls, artifacts.read_json(path), str(path))


def release_ref(tag: str) -> str:
    """The git ref under which a release's revision is kept."""
    return f"{snapshots.PREFIX}releases/{_slug(tag)}"


def release_path(layout: Layout, tag: str) -> Path:
    """Where a release is written down."""
    return layout.loop / "list_releases" / f"{_slug(tag)}.json"


def list_releases(layout: Layout) -> list[ReleaseRecord]:
    """All that are written down, oldest first."""
    found = [ReleaseRecord.read(path) for path in (layout.loop / "list_releases").glob("*.json")]
    return sorted(found, key=lambda one: (one.at, one.tag))


def find_release(layout: Layout, name: str) -> ReleaseRecord:
    """A release by its tag, its version, or the beginning of one of these. Raises ArtifactError unless one is meant."""
    known = list_releases(layout)
    exact = [one for one in known if one.tag == name]
    meant = exact or [one for one in known if name in _beginnings(one.tag, len(name))]
    if name and len(meant) == 1:
        return meant[0]
    what = f"{name!r} is {len(meant)} of the releases" if meant and name else f"no release is {name!r}"
    tags = ", ".join(one.tag for one in known)
    hint = f"wanted one of {tags}" if tags else "none is written down yet, a retrain does that"
    raise ArtifactError(f"{layout.loop / 'list_releases'}: {what}; {hint}")


def write_release(layout: Layout, tag: str, *, reason: str, gate: Path | None) -> Path:
    """Write a release down after its stages have run, and keep the revision that they ran on.

    A release that has a revision already keeps it, so that a retrain which goes on after a kill changes nothing.
    A tag that is not the packaged one was not made by the files of now, and gets none. Raises ArtifactError.
    """
    path = release_path(layout, tag)
    known = ReleaseRecord.read(path) if path.exists() else None
    if known is None or known.revision is None:
        fresh = _recorded(layout, tag, reason, gate)
        known = fresh if known is None or fresh.revision else known
    artifacts.write_json(known.model_dump(mode="json"), path)
    return path


def note_release(layout: Layout, tag: str, *, state: State, reason: str) -> Path:
    """Write down how a release went on; one that was never written down is, without a revision if it must be."""
    path = release_path(layout, tag)
    if not path.exists():
        write_release(layout, tag, reason="deployed by a person", gate=None)
    known = ReleaseRecord.read(path)
    changes = (*known.changes, ReleaseChange(at=_now(), state=state, reason=reason))
    after = known.model_copy(update={"state": state, "changes": changes})
    artifacts.write_json(after.model_dump(mode="json"), path)
    return path


def _recorded(layout: Layout, tag: str, reason: str, gate: Path | None) -> ReleaseRecord:
    packaged = SmokeReport.read(layout.bento) if layout.bento.exists() else None
    is_packaged = packaged is not None and packaged.tag == tag
    revision, unrecorded = _revision(layout, tag, is_packaged)
    return ReleaseRecord(
        tag=tag,
        model=packaged.model if packaged is not None and is_packaged else _model_of(layout, tag),
        at=_now(),
        revision=revision,
        unrecorded=unrecorded,
        reason=reason,
        gate=None if gate is None else _below(layout.root, gate),
        metrics=_metrics(layout, packaged) if packaged is not None and is_packaged else None,
        feedback=read_settings(layout.params).source.feedback,
        stale=_stale(layout) if is_packaged else (),
    )


def _revision(layout: Layout, tag: str, is_packaged: bool) -> tuple[str | None, str]:
    """The commit of the files of now, or None and why; a model that passed its gate is released without one, too."""
    if not is_packaged:
        return None, "it was not the packaged Bento when it was written down, so other files made it"
    try:
        wanted = [layout.params, layout.dvc_yaml, layout.dvc_lock, layout.metrics]
        names = [str(path.relative_to(layout.root)) for path in wanted]
        return snapshots.record_snapshot(layout.root, f"release {tag}", release_ref(tag), also=names), ""
    except RevisionError as error:
        return None, str(error)


def _metrics(layout: Layout, packaged: SmokeReport) -> ReleaseMetrics | None:
    if not layout.metrics.exists():
        return None
    figures = {name: value for name, value in packaged.labels.items() if "@" in name}
    return ReleaseMetrics(sha256=artifacts.sha256(layout.metrics), headline=figures)


def _model_of(layout: Layout, tag: str) -> str:
    from services.deployment.admission import stored

    return next((one.model for one in stored(layout) if one.tag == tag), "")


def _stale(layout: Layout) -> tuple[str, ...]:
    from flows.graph.dvc_graph import find_stale_stages

    return tuple(sorted(find_stale_stages(layout.root)))


def _below(root: Path, path: Path) -> str:
    absolute = (root / path).resolve()
    return str(absolute.relative_to(root.resolve()) if absolute.is_relative_to(root.resolve()) else path)


def _beginnings(tag: str, length: int) -> tuple[str, str]:
    return tag[:length], tag.partition(":")[2][:length]


def _slug(tag: str) -> str:
    return tag.replace(":", "-")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
