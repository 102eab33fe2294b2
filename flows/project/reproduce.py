"""Reproduces a release: checks out its revision in a new folder, runs every stage again and compares metrics.json."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import CheckoutError, DvcException
from dvc.repo import Repo
from rich.console import Console
from rich.table import Table

from flows.graph.dvc_graph import SOURCE, StageGraph, StageRunner
from flows.graph.progress import Progress
from flows.project.doctor import different_versions
from flows.project.release_log import ReleaseRecord
from flows.project.snapshots import check_out_snapshot
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, StageError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings

INGEST, EVALUATE, PACKAGE = "ingest", "evaluate", "package"
_SELF_CONTAINED = ("complete_journey", "synthetic")  # sources that need only the revision and its environment
_MAX_SHOWN = 10


@dataclass(frozen=True)
class Reproduction:
    """The result. seconds: of each stage that ran; differences: from the release; notes: possible reasons for them"""

    release: ReleaseRecord
    seconds: Mapping[str, float]
    differences: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_identical(self) -> bool:
        """Whether all compared bytes are equal."""
        return not self.differences

    def show(self, console: Console) -> None:
        """Print the stages' seconds and the differences."""
        table = Table("stage", "seconds", title=f"{self.release.tag} at {str(self.release.revision)[:12]}")
        for stage, seconds in self.seconds.items():
            table.add_row(stage, f"{seconds:.1f}")
        table.add_row("all", f"{sum(self.seconds.values()):.1f}", style="bold")
        console.print(table)
        if self.is_identical:
            console.print("reproduced: metrics.json is identical")
            return
        plural = "s" if len(self.differences) > 1 else ""
        console.print(f"not reproduced: {len(self.differences)} difference{plural}")
        num_hidden = len(self.differences) - _MAX_SHOWN
        summary = [f"... and {num_hidden} more"] if num_hidden > 0 else []
        for line in (*self.differences[:_MAX_SHOWN], *summary, *self.notes):
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def reproduce(
    layout: Layout, release: ReleaseRecord, console: Console, *, keep: Path | None = None, package: bool = False
) -> Reproduction:
    """Run every stage of the release's revision again, up to `evaluate` (package: up to the Bento), and compare.

    keep: a folder to work in and keep; otherwise a temporary one
    Raises ArtifactError when the revision, the raw frames or the metrics are missing, StageError when a stage fails.
    """
    if release.revision is None or release.metrics is None:
        reason = release.unrecorded or "it has no metrics.json"
        raise ArtifactError(f"{release.tag}: cannot be reproduced: {reason}; wanted a revision and metrics")
    with _work_folder(keep) as folder:
        console.print(f"{release.tag}: checking out {release.revision[:12]}", highlight=False)
        clone = Layout(check_out_snapshot(layout.root, release.revision, folder))
        before = _recorded_metrics(clone, release)
        skipped = _prepare(layout, clone, console)
        seconds = _run_stages(clone, skipped, console, package=package)
        differences = _compare(before, clone.metrics.read_bytes())
        if package:
            tag = artifacts.read_json(clone.bento)["tag"]
            differences += () if tag == release.tag else (f"the Bento is {tag}, was {release.tag}",)
        return Reproduction(release, seconds, differences, _notes(clone, release) if differences else ())


@contextlib.contextmanager
def _work_folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="tierrec-reproduce-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ArtifactError(f"{keep}: exists and is not empty; name a new folder with --keep")
    yield keep.resolve()


def _recorded_metrics(clone: Layout, release: ReleaseRecord) -> bytes:
    """metrics.json of the revision. Raises ArtifactError when it is not the one that was released."""
    if clone.metrics.exists() and release.metrics is not None:
        if artifacts.sha256(clone.metrics) == release.metrics.sha256:
            return clone.metrics.read_bytes()
        raise ArtifactError(
            f"{release.tag}: metrics.json of its revision is not the one that was recorded with it; "
            "the ref or the record was changed since"
        )
    raise ArtifactError(f"{release.tag}: its revision has no {clone.metrics.relative_to(clone.root)} to compare with")


def _prepare(layout: Layout, clone: Layout, console: Console) -> frozenset[str]:
    """Add the files that git does not have, and reset DVC's state; returns the stages that must not run.

    Without dvc.lock and with an empty cache, DVC runs every stage, and cannot write to the project's cache. Raw frames
    that the revision cannot recreate come from the project's cache.
    """
    source = read_settings(clone.params).source
    skipped: frozenset[str] = frozenset()
    if source.feedback or source.kind not in _SELF_CONTAINED:
        console.print("taking the raw frames from DVC's cache", highlight=False)
        _restore_raw_frames(layout, clone)
        skipped = frozenset({SOURCE, INGEST})
    clone.feedback.mkdir(parents=True, exist_ok=True)
    if layout.forgotten_list.exists():  # who was forgotten since must not come back
        shutil.copytree(layout.forgotten_list.parent, clone.forgotten_list.parent, dirs_exist_ok=True)
    clone.dvc_lock.unlink(missing_ok=True)
    with Repo(str(clone.root)) as repo, repo.config.edit("local") as config:
        config["cache"]["dir"] = str(clone.root / ".dvc" / "cache")
        config["core"]["site_cache_dir"] = str(clone.root / ".dvc" / "tmp" / "site")
    return skipped


def _restore_raw_frames(layout: Layout, clone: Layout) -> None:
    """Check out ingest's outputs by the hashes of dvc.lock, from the project's cache or else its remote."""
    with Repo(str(layout.root)) as repo:
        cache, remotes = repo.cache.local_cache_dir, dict(repo.config["remote"])
        remote = repo.config["core"].get("remote")
    config: dict[str, Any] = {"cache": {"dir": cache}, "remote": remotes}
    if remote:
        config["core"] = {"remote": remote}
    targets = [f"{clone.dvc_yaml}:{INGEST}"]  # DVC would look for a bare name in the current folder
    try:
        with Repo(str(clone.root), config=config) as repo:
            try:
                repo.checkout(targets=targets, force=True)
            except CheckoutError:
                if not remote:
                    raise
                repo.fetch(targets=targets)
                repo.checkout(targets=targets, force=True)
    except DvcException as error:
        message = " ".join(str(error).split())
        raise ArtifactError(
            f"{clone.root}: the raw frames of the release are neither in {cache} nor in a DVC remote ({message}); "
            "`dvc push` stores them, and `dvc gc` without --all-commits deletes them"
        ) from error


def _run_stages(clone: Layout, skipped: frozenset[str], console: Console, *, package: bool) -> dict[str, float]:
    """Run every stage up to the last, one after the other; returns the seconds of each."""
    graph, last = StageGraph.read(clone.root), PACKAGE if package else EVALUATE
    if last not in graph.upstream:
        raise ArtifactError(f"{clone.dvc_yaml}: has no stage {last!r}, wanted it as the last one to run")
    required = graph.ancestors(last) | {last}
    stages = [stage for stage in graph.upstream if stage in required and stage not in skipped]
    progress = Progress(console, stages)
    runner = StageRunner(clone.root, progress.line)
    with progress:
        for stage in stages:
            with progress.running(stage):
                runner.run(stage)
    if not clone.metrics.exists():
        raise StageError(f"{last}: ended without writing {clone.metrics}")
    return progress.seconds


def _compare(before: bytes, after: bytes) -> tuple[str, ...]:
    """The differences between two metrics.json, by key; empty when every byte is the same."""
    if before == after:
        return ()
    old, new = (dict(_flatten(json.loads(text), "")) for text in (before, after))
    differences = [
        f"{key}: {_format(new, key)}, was {_format(old, key)}"
        for key in sorted(old.keys() | new.keys())
        if (key in old) != (key in new) or old.get(key) != new.get(key)
    ]
    return tuple(differences) or ("the values are equal, the bytes differ",)


def _flatten(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """All values with their paths, such as next.blend.ndcg@10."""
    if isinstance(value, dict | list) and value:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from _flatten(inner, f"{path}.{key}".lstrip("."))
    else:
        yield path, value


def _format(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "missing"


def _notes(clone: Layout, release: ReleaseRecord) -> tuple[str, ...]:
    """Possible reasons for a difference: stages that were stale, and installed versions that differ."""
    notes = []
    if release.stale:
        notes.append(f"when it was released, these stages were stale: {', '.join(release.stale)}")
    constraints = clone.root / "constraints.txt"
    if constraints.exists():
        notes += [
            f"{name} is {installed}, the release was made with {pinned}"
            for name, installed, pinned in different_versions(constraints)
        ]
    return tuple(notes)
