"""Part `swap`: two workers under load while the pointer is changed ten times; no request may fail."""

import asyncio
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.serving.harness import payloads
from benchmarks.serving.harness.load import Load, drive
from benchmarks.serving.harness.servers import Bench, port_of
from benchmarks.serving.process_tree import ProcessTree
from services.deployment.build import build_bento
from services.deployment.contents import BentoContents
from services.releases.manifest import SmokeReport, fingerprint
from services.releases.pointer import FILE, Pointer, deploy, promote, rollback
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings

WORKERS, CONCURRENCY, REQUESTS = 2, 8, 20_000
SHARE = 0.5
_PER_CONNECTION = 200  # requests, so that both workers get new connections all the time
_MIN_RESPONSES, _RECENT, _TIMEOUT_SECONDS = 1500, 300, 90.0
_WORKING_SHARE = 0.2  # of the busiest process's CPU time, which the supervisor is far below


@dataclass
class ResponseMonitor:
    """Responses so far while the load runs; recent: model versions of the newest."""

    num_responses: int = 0
    is_over: bool = False
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def record(self, body: bytes) -> str:
        """Record and return the model version of a response."""
        version = payloads.version_of(body)
        self.num_responses += 1
        self.recent.append(version)
        return version

    async def until(self, versions: set[str], num_more: int) -> None:
        """Wait for this number of further responses, and until the newest are by exactly these versions."""
        wanted, end = self.num_responses + num_more, time.monotonic() + _TIMEOUT_SECONDS
        while self.num_responses < wanted or set(self.recent) != versions:
            if time.monotonic() > end:
                raise RuntimeError(f"swap: responses are by {set(self.recent)}, wanted {versions}")
            await asyncio.sleep(0.01)


def run(bench: Bench) -> dict[str, Any]:
    """Make a second release, serve both, and change the pointer under load."""
    with tempfile.TemporaryDirectory(prefix="tierrec-swap-") as name:
        folder = Path(name)
        home, second = second_release(bench, folder / "project")
        pointer = folder / "state" / FILE
        deploy(pointer, bench.report, 0.0)
        with bench.serving(WORKERS, pointer.parent, home) as server:
            tree = ProcessTree(server.process)
            before = tree.cpu_seconds_each()
            load, changes = asyncio.run(_swap(port_of(server), bench, second, pointer))
            cpu_seconds = [after - start for after, start in zip(tree.cpu_seconds_each(), before, strict=True)]
    return {
        "swap_workers": sum(seconds > max(cpu_seconds) * _WORKING_SHARE for seconds in cpu_seconds),
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
    """A BentoML home with the packaged Bento and another one of the same models, with another version.

    The smoke test's report holds for both, since they give the same lists.
    """
    layout, project = bench.layout, Layout(root)
    shutil.copytree(layout.bundle, project.bundle)
    (project.bundle / "edition.json").write_text('{"edition": 2}\n')
    for name in ("dvc.yaml", "dvc.lock"):
        (root / name).symlink_to((layout.root / name).resolve())
    for kind, tag in (("bentos", bench.report.tag), ("models", bench.report.model)):
        path = Path(kind, *tag.split(":"))
        (project.bento_home / path).parent.mkdir(parents=True)
        (project.bento_home / path).symlink_to((layout.bento_home / path).resolve(), True)
    contents = BentoContents.gather(layout, read_settings(layout.params))
    contents = replace(contents, bundle=fingerprint(project.bundle))
    tag = build_bento(project, contents)
    return project.bento_home, bench.report.model_copy(update={"tag": tag, "model": contents.release.model})


async def _swap(port: int, bench: Bench, second: SmokeReport, pointer: Path) -> tuple[Load, int]:
    monitor = ResponseMonitor()
    load = drive(port, _until_over(bench.users, monitor), CONCURRENCY, monitor.record, per_connection=_PER_CONNECTION)
    running = asyncio.ensure_future(load)
    try:
        changes = await _change(monitor, bench.report, second, pointer)
    finally:
        monitor.is_over = True
        done = await running
    return done, changes


async def _change(monitor: ResponseMonitor, first: SmokeReport, second: SmokeReport, pointer: Path) -> int:
    """Make ten changes, each once the responses show the one before; returns their number."""
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
    await monitor.until({_version(first.model)}, _MIN_RESPONSES)
    for act in acts:
        after = await asyncio.to_thread(act)
        deployed = [release for release in (after.champion, after.challenger) if release is not None]
        await monitor.until({_version(release.model) for release in deployed}, _MIN_RESPONSES)
    return len(acts)


def _until_over(users: Sequence[str], monitor: ResponseMonitor) -> Iterator[bytes]:
    """Requests until the changes are made, and at least REQUESTS of them."""
    count = 0
    while count < REQUESTS or not monitor.is_over:
        yield payloads.list_of(users[count % len(users)])
        count += 1


def _version(model: str) -> str:
    return model.partition(":")[2]
