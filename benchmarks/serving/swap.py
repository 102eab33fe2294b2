"""Part `swap`: two workers under load while the pointer is changed ten times, and nobody is turned away."""

import asyncio
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.serving.family import Family
from benchmarks.serving.harness import questions
from benchmarks.serving.harness.load import Load, drive
from benchmarks.serving.harness.servers import Bench, port_of
from services.deployment import bento_store
from services.deployment.contents import BentoContents
from services.releases.manifest import fingerprint
from services.releases.pointer import FILE, Pointer, deploy, promote, rollback
from services.releases.smoke_report import SmokeReport
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings

WORKERS, CONCURRENCY, REQUESTS = 2, 8, 20_000
SHARE = 0.5
_PER_CONNECTION = 200  # new connections, so that both workers are asked all the time
_AT_LEAST, _RECENT, _PATIENCE_SECONDS = 1500, 300, 90.0
_WORKING_SHARE = 0.2  # of the busiest process's CPU time: the supervisor has next to none


@dataclass
class Watched:
    """What the answers tell while the load runs. recent: versions of the newest answers"""

    answers: int = 0
    is_over: bool = False
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def look(self, body: bytes) -> str:
        """Note which version gave an answer."""
        version = questions.version_in(body)
        self.answers += 1
        self.recent.append(version)
        return version

    async def until(self, versions: set[str], answers: int) -> None:
        """Wait for so many more answers, the newest of them by these versions and no others."""
        wanted, end = self.answers + answers, time.monotonic() + _PATIENCE_SECONDS
        while self.answers < wanted or set(self.recent) != versions:
            if time.monotonic() > end:
                raise RuntimeError(f"swap: answers come from {set(self.recent)}, wanted from {versions}")
            await asyncio.sleep(0.01)


def run(bench: Bench) -> dict[str, Any]:
    """Make a second release, serve both, and change the pointer under load."""
    with tempfile.TemporaryDirectory(prefix="tierrec-swap-") as name:
        folder = Path(name)
        home, second = second_release(bench, folder / "project")
        pointer = folder / "state" / FILE
        deploy(pointer, bench.report, 0.0)
        with bench.serving(WORKERS, pointer.parent, home) as server:
            family = Family(server.process)
            before = family.cpu_seconds_each()
            load, changes = asyncio.run(_swap(port_of(server), bench, second, pointer))
            took = [after - start for after, start in zip(family.cpu_seconds_each(), before, strict=True)]
    return {
        "swap_workers": sum(seconds > max(took) * _WORKING_SHARE for seconds in took),
        "swap_requests": load.num_requests,
        "swap_failed_requests": load.num_failed,
        "swap_failures": dict(load.failures),
        "swap_changes": changes,
        "swap_answers": dict(load.seen),
        "swap_p50_ms": round(load.percentile_ms(50), 2),
        "swap_p99_ms": round(load.percentile_ms(99), 2),
        "swap_max_ms": round(load.percentile_ms(100), 2),
    }


def second_release(bench: Bench, root: Path) -> tuple[Path, SmokeReport]:
    """A BentoML home with the packaged Bento and another one of the same models, told apart by its version.

    What the smoke test found of the one holds for the other: they give the same lists.
    """
    layout, project = bench.layout, Layout(root)
    shutil.copytree(layout.bundle, project.bundle)
    (project.bundle / "edition.json").write_text('{"edition": 2}\n')
    for name in ("dvc.yaml", "dvc.lock"):
        (root / name).symlink_to((layout.root / name).resolve())
    for kind, tag in (("bentos", bench.report.tag), ("models", bench.report.model)):
        place = Path(kind, *tag.split(":"))
        (project.bento_home / place).parent.mkdir(parents=True)
        (project.bento_home / place).symlink_to((layout.bento_home / place).resolve(), True)
    contents = BentoContents.gather(layout, read_settings(layout.params))
    contents = replace(contents, bundle=fingerprint(project.bundle))
    tag = bento_store.make(project, contents)
    return project.bento_home, bench.report.model_copy(update={"tag": tag, "model": contents.release.model})


async def _swap(port: int, bench: Bench, second: SmokeReport, pointer: Path) -> tuple[Load, int]:
    watched = Watched()
    load = drive(port, _until_over(bench.users, watched), CONCURRENCY, watched.look, per_connection=_PER_CONNECTION)
    running = asyncio.ensure_future(load)
    try:
        changes = await _change(watched, bench.report, second, pointer)
    finally:
        watched.is_over = True
        done = await running
    return done, changes


async def _change(watched: Watched, first: SmokeReport, second: SmokeReport, pointer: Path) -> int:
    """Ten changes, each once the one before is to be seen in the answers; how many were made."""
    acts: list[Callable[[], Pointer]] = [
        lambda: deploy(pointer, second, SHARE),
        lambda: promote(pointer),
        lambda: deploy(pointer, first, SHARE),
        lambda: promote(pointer),
        lambda: deploy(pointer, second, SHARE),
        lambda: rollback(pointer),
        lambda: deploy(pointer, second, SHARE),
        lambda: promote(pointer),
        lambda: rollback(pointer),
        lambda: deploy(pointer, second, SHARE),
    ]
    await watched.until({_version(first.model)}, _AT_LEAST)
    for act in acts:
        after = await asyncio.to_thread(act)
        deployed = [one for one in (after.champion, after.challenger) if one is not None]
        await watched.until({_version(one.model) for one in deployed}, _AT_LEAST)
    return len(acts)


def _until_over(users: Sequence[str], watched: Watched) -> Iterator[bytes]:
    """Requests until the changes are made, and at least REQUESTS of them."""
    count = 0
    while count < REQUESTS or not watched.is_over:
        yield questions.list_of(users[count % len(users)])
        count += 1


def _version(model: str) -> str:
    return model.partition(":")[2]
