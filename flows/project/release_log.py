"""The release log: the reason, state and metrics of each release, and the revision to reproduce it from."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from flows.project import snapshots
from flows.project.git import RevisionError
from services.deployment.bento_store import list_bentos
from services.releases.manifest import SmokeReport
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Params, parse, read_settings

State = Literal["released", "promoted", "rolled back"]
_NOT_PACKAGED = "it was not the packaged Bento when it was recorded, so other files produced it"


class ReleaseMetrics(Params):
    """metrics.json of a release: its hash, and the blend's headline metric by task, from the Bento's labels."""

    sha256: str
    headline: dict[str, str] = Field(default_factory=dict)


class ReleaseChange(Params):
    """A change of a release's state: when (UTC, ISO 8601), the new state, and why."""

    at: str
    state: State
    reason: str


class ReleaseRecord(Params):
    """One release. tag, model: of Bento and model; reason: why it was trained or deployed

    revision: the commit of code, params.yaml, dvc.yaml, dvc.lock and metrics.json; None if it could not be recorded,
    for the reason in `unrecorded`
    gate: path of the gate's report below the project
    feedback: whether the log included the service's feedback, which neither git nor DVC stores
    stale: stages whose outputs were outdated when the revision was recorded
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
    """The git ref of a release's revision."""
    return f"{snapshots.PREFIX}releases/{_slug(tag)}"


def release_path(layout: Layout, tag: str) -> Path:
    """The file of a release's record."""
    return layout.loop / "releases" / f"{_slug(tag)}.json"


def list_releases(layout: Layout) -> list[ReleaseRecord]:
    """All releases, oldest first."""
    records = [ReleaseRecord.read(path) for path in (layout.loop / "releases").glob("*.json")]
    return sorted(records, key=lambda record: (record.at, record.tag))


def find_release(layout: Layout, name: str) -> ReleaseRecord:
    """A release by a prefix of its tag or version. Raises ArtifactError unless exactly one matches."""
    records = list_releases(layout)
    exact = [record for record in records if record.tag == name]
    matches = exact or [
        record for record in records if record.tag.startswith(name) or record.tag.partition(":")[2].startswith(name)
    ]
    if name and len(matches) == 1:
        return matches[0]
    problem = f"{name!r} matches {len(matches)} releases" if matches and name else f"no release matches {name!r}"
    tags = ", ".join(record.tag for record in records)
    hint = f"wanted one of {tags}" if tags else "no release is recorded yet; `tierrec deploy` and retrains record one"
    raise ArtifactError(f"{layout.loop / 'releases'}: {problem}; {hint}")


def write_release(layout: Layout, tag: str, *, reason: str, gate: str | None) -> Path:
    """Record a release after its stages have run, with the revision that they ran on.

    gate: path of the gate's report below the project
    A release that has a revision keeps it, so that a retrain that resumes after a kill changes nothing. Only the
    packaged Bento gets one, since the current files did not produce the others. Raises ArtifactError.
    """
    path = release_path(layout, tag)
    record = ReleaseRecord.read(path) if path.exists() else None
    if record is None or record.revision is None:
        fresh = _make_record(layout, tag, reason, gate)
        record = fresh if record is None or fresh.revision else record
    artifacts.write_json(record.model_dump(mode="json"), path)
    return path


def note_release(layout: Layout, tag: str, *, state: State, reason: str) -> Path:
    """Record a new state of a release, and the release itself if it is missing."""
    path = release_path(layout, tag)
    if not path.exists():
        write_release(layout, tag, reason="deployed by a user", gate=None)
    record = ReleaseRecord.read(path)
    changes = (*record.changes, ReleaseChange(at=utc_now(), state=state, reason=reason))
    after = record.model_copy(update={"state": state, "changes": changes})
    artifacts.write_json(after.model_dump(mode="json"), path)
    return path


def _make_record(layout: Layout, tag: str, reason: str, gate: str | None) -> ReleaseRecord:
    from flows.graph.dvc_graph import find_stale_stages

    packaged = SmokeReport.read(layout.bento) if layout.bento.exists() else None
    if packaged is not None and packaged.tag != tag:
        packaged = None
    revision, unrecorded = _record_revision(layout, tag) if packaged else (None, _NOT_PACKAGED)
    models = {bento.tag: bento.model for bento in ([] if packaged else list_bentos(layout))}
    return ReleaseRecord(
        tag=tag,
        model=packaged.model if packaged else models.get(tag, ""),
        at=utc_now(),
        revision=revision,
        unrecorded=unrecorded,
        reason=reason,
        gate=gate,
        metrics=_metrics(layout, packaged) if packaged else None,
        feedback=read_settings(layout.params).source.feedback,
        stale=tuple(sorted(find_stale_stages(layout.root))) if packaged else (),
    )


def _record_revision(layout: Layout, tag: str) -> tuple[str | None, str]:
    """The commit of the current files, or None and the reason; a release does not need one."""
    try:
        files = [layout.params, layout.dvc_yaml, layout.dvc_lock, layout.metrics]
        names = [str(path.relative_to(layout.root)) for path in files]
        return snapshots.record_snapshot(layout.root, f"release {tag}", release_ref(tag), also=names), ""
    except RevisionError as error:
        return None, str(error)


def _metrics(layout: Layout, packaged: SmokeReport) -> ReleaseMetrics | None:
    if not layout.metrics.exists():
        return None
    headline = {name: value for name, value in packaged.labels.items() if "@" in name}
    return ReleaseMetrics(sha256=artifacts.sha256(layout.metrics), headline=headline)


def _slug(tag: str) -> str:
    return tag.replace(":", "-")


def utc_now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
