"""`tierrec reproduce`: a release's revision in a folder of its own, every stage run again, the figures compared."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from dvc.exceptions import CheckoutError, DvcException
from dvc.repo import Repo
from rich.console import Console
from rich.table import Table

from flows.graph.dvc_graph import StageGraph, StageRunner
from flows.graph.progress import Progress
from flows.project import snapshots
from flows.project.release_log import ReleaseRecord
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, StageError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings

FIRST, JUDGED, PACKAGED = "ingest", "evaluate", "package"
_SELF_CONTAINED = ("complete_journey", "synthetic")  # sources that a revision and its environment hold whole
_SHOWN = 10


@dataclass(frozen=True)
class Reproduction:
    """What came of it. seconds: of each stage that ran; differences: what is not as it was, in words.

    notes: what may explain a difference
    """

    release: ReleaseRecord
    seconds: Mapping[str, float]
    differences: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_identical(self) -> bool:
        """Whether every byte that was compared is as it was."""
        return not self.differences

    def show(self, console: Console) -> None:
        """Print it for a person."""
        table = Table("stage", "seconds", title=f"{self.release.tag} at {str(self.release.revision)[:12]}")
        for stage, spent in self.seconds.items():
            table.add_row(stage, f"{spent:.1f}")
        table.add_row("all", f"{sum(self.seconds.values()):.1f}", style="bold")
        console.print(table)
        if self.is_identical:
            console.print("reproduced: metrics.json is identical")
            return
        plural = "s" if len(self.differences) > 1 else ""
        console.print(f"not reproduced: {len(self.differences)} difference{plural}")
        rest = len(self.differences) - _SHOWN
        more = [f"... and {rest} more"] if rest > 0 else []
        for line in (*self.differences[:_SHOWN], *more, *self.notes):
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def reproduce(
    layout: Layout,
    release: ReleaseRecord,
    console: Console,
    *,
    keep: Path | None = None,
    package: bool = False,
) -> Reproduction:
    """Run every stage of the release's revision again, up to its judgement (package: up to its Bento), and compare.

    keep: the folder to work in, which then stays; otherwise it is one that goes away however this ends
    Raises ArtifactError when revision, raw frames or figures are not there any more, StageError when a stage fails.
    """
    if release.revision is None or release.metrics is None:
        why = release.unrecorded or "it has no metrics.json"
        raise ArtifactError(f"{release.tag}: was released without what it takes to make it again: {why}")
    with _folder(keep) as folder:
        console.print(f"{release.tag}: checking out {release.revision[:12]}", highlight=False)
        there = Layout(snapshots.check_out_snapshot(layout.root, release.revision, folder))
        before = _recorded_metrics(there, release)
        skipped = _prepare(layout, there, console)
        seconds = _run(there, skipped, console, package=package)
        differences = _compare(before, there.metrics.read_bytes())
        if package:
            tag = artifacts.read_json(there.bento)["tag"]
            differences += () if tag == release.tag else (f"the Bento is {tag}, was {release.tag}",)
        return Reproduction(release, seconds, differences, _notes(there, release) if differences else ())


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where to work: what is to be kept must be new or empty."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="tierrec-reproduce-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ArtifactError(f"{keep}: is there already and not empty; name a new folder with --keep")
    yield keep.resolve()


def _recorded_metrics(there: Layout, release: ReleaseRecord) -> bytes:
    """metrics.json as the revision has it. Raises ArtifactError when it is not the one that was released."""
    if there.metrics.exists() and release.metrics is not None:
        if artifacts.sha256(there.metrics) == release.metrics.sha256:
            return there.metrics.read_bytes()
        raise ArtifactError(
            f"{release.tag}: metrics.json of its revision is not the one that was written down with it; "
            "somebody has changed the ref or the record"
        )
    raise ArtifactError(
        f"{release.tag}: its revision has no {there.metrics.relative_to(there.root)} to compare with"
    )


def _prepare(layout: Layout, there: Layout, console: Console) -> frozenset[str]:
    """Give the folder what git does not have, and take all memory from its DVC; the stages that must not run.

    Without dvc.lock and with an empty cache every stage is new to DVC, so that it runs, and nothing of it can reach
    the project's cache. The raw frames come from that cache where ingest would read what no revision holds.
    """
    source = read_settings(there.params).source
    skipped: frozenset[str] = frozenset()
    if source.feedback or source.kind not in _SELF_CONTAINED:
        console.print("taking the raw frames from DVC's cache", highlight=False)
        _take_raw(layout, there)
        skipped = frozenset({FIRST})
    there.feedback.mkdir(parents=True, exist_ok=True)
    there.dvc_lock.unlink(missing_ok=True)
    with Repo(str(there.root)) as repo, repo.config.edit("local") as config:
        config["cache"]["dir"] = str(there.root / ".dvc" / "cache")
        config["core"]["site_cache_dir"] = str(there.root / ".dvc" / "tmp" / "site")
    return skipped


def _take_raw(layout: Layout, there: Layout) -> None:
    """The outputs of ingest by the hashes of dvc.lock, from the project's cache or else its remote."""
    with Repo(str(layout.root)) as repo:
        cache, settings = repo.cache.local_cache_dir, dict(repo.config["remote"])
        remote = repo.config["core"].get("remote")
    config: dict[str, Any] = {"cache": {"dir": cache}, "remote": settings}
    if remote:
        config["core"] = {"remote": remote}
    targets = [f"{there.dvc_yaml}:{FIRST}"]  # a bare name would be looked for in the current folder
    try:
        with Repo(str(there.root), config=config) as repo:
            try:
                repo.checkout(targets=targets, force=True)
            except CheckoutError:
                if not remote:
                    raise
                repo.fetch(targets=targets)
                repo.checkout(targets=targets, force=True)
    except DvcException as error:
        said = " ".join(str(error).split())
        raise ArtifactError(
            f"{there.root}: the raw frames of the release are neither in {cache} nor in a DVC remote ({said}); "
            "`dvc push` keeps them, and `dvc gc` without --all-commits throws them away"
        ) from error


def _run(there: Layout, skipped: frozenset[str], console: Console, *, package: bool) -> dict[str, float]:
    """Every stage before and up to the last, one after the other; the seconds of each."""
    graph, last = StageGraph.read(there.root), PACKAGED if package else JUDGED
    if last not in graph.upstream:
        raise ArtifactError(f"{there.dvc_yaml}: has no stage {last!r}, wanted one that ends it")
    wanted = graph.ancestors(last) | {last}
    stages = [stage for stage in graph.upstream if stage in wanted and stage not in skipped]
    progress = Progress(console, stages)
    runner = StageRunner(there.root, progress.line)
    with progress:
        for stage in stages:
            progress.begin(stage)
            try:
                runner.run(stage)
            except BaseException:
                progress.end(stage, "failed")
                raise
            progress.end(stage, "done")
    if not there.metrics.exists():
        raise StageError(f"{last}: ran and wrote no {there.metrics}")
    return progress.seconds


def _compare(before: bytes, after: bytes) -> tuple[str, ...]:
    """What differs between two metrics.json, by key; nothing when every byte is the same."""
    if before == after:
        return ()
    old, new = (dict(_leaves(json.loads(text), "")) for text in (before, after))
    keys = sorted(old.keys() | new.keys())
    found = [f"{key}: {_told(new, key)}, was {_told(old, key)}" for key in keys if _differ(old, new, key)]
    return tuple(found) or ("the figures are the same and the bytes are not",)


def _differ(old: Mapping[str, Any], new: Mapping[str, Any], key: str) -> bool:
    return (key in old) != (key in new) or old.get(key) != new.get(key)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """All figures with their paths, such as next.blend.ndcg@10."""
    if isinstance(value, dict | list) and value:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from _leaves(inner, f"{path}.{key}".lstrip("."))
    else:
        yield path, value


def _told(figures: Mapping[str, Any], key: str) -> str:
    return json.dumps(figures[key]) if key in figures else "missing"


def _notes(there: Layout, release: ReleaseRecord) -> tuple[str, ...]:
    """What may explain a difference: stages that were stale, and versions other than the release's."""
    notes = []
    if release.stale:
        notes.append(f"when it was released, these stages were stale: {', '.join(release.stale)}")
    pins = there.root / "constraints.txt"
    lines = pins.read_text().splitlines() if pins.exists() else []
    wanted = dict(line.strip().split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
    installed = {one.name.lower().replace("_", "-"): one.version for one in metadata.distributions()}
    for name, version in wanted.items():
        found = installed.get(name.lower().replace("_", "-"))
        if found is not None and found.partition("+")[0] != version.partition("+")[0]:
            notes.append(f"{name} is {found}, the release was made with {version}")
    return tuple(notes)
