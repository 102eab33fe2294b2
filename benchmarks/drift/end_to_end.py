"""python -m benchmarks.drift.end_to_end: the whole loop with real processes and without manual steps.

Events posted to the Bento -> store -> monitor -> Prefect event -> automation -> retrain, its deep model on the gpu
pool -> gate -> challenger on a share of users -> champion, under constant requests. Prints and merges into
drift.json: seconds from the alarm until the new champion answers, and how many requests failed.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.drift.results_file import merge_figures
from services.deployment.server import free_port
from tests.support.drifting_shop import batches, configure, deploy_shop, later_events
from tests.support.projects import command

USERS = [f"u{number:03d}" for number in range(300)]
_MONITOR_SECONDS, _ROLLOUT_SECONDS = 20, 10  # between scheduled runs
_TIMEOUT = 900.0  # seconds


@dataclass
class Traffic:
    """Sequential requests for lists from a background thread."""

    url: str
    num_requests: int = 0
    failures: list[str] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["Traffic"]:
        """Send requests while the context is open."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._done.set()
            thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self._done.wait(0.02):
                user = USERS[self.num_requests % len(USERS)]
                self.num_requests += 1
                try:
                    response = client.post("/recommend", json={"user_id": user, "k": 10})
                    if response.status_code != 200 or len(response.json()["items"]) != 10:
                        self.failures.append(f"{response.status_code} {response.text[:200]}")
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    self.failures.append(repr(error))


@contextmanager
def stack(project: Path) -> Iterator[str]:
    """Run the project's stack on free ports; yields the service's URL."""
    server, service = free_port(), free_port()
    ports = ["--server-port", str(server), "--service-port", str(service)]
    up = command(project, "tierrec", "stack", "up", "--no-schedules", *ports, timeout=400)
    print(up.stdout, up.stderr, flush=True)
    try:
        up.check_returncode()
        yield f"http://127.0.0.1:{service}"
    finally:
        print(command(project, "tierrec", "stack", "down", timeout=120).stdout, flush=True)


def shorten_schedules(project: Path) -> None:
    """Schedule monitor and rollout every few seconds."""
    api = json.loads((project / "data/loop/stack/stack.json").read_text())["api_url"]
    for name, seconds in (("monitor/monitor", _MONITOR_SECONDS), ("rollout/rollout", _ROLLOUT_SECONDS)):
        subprocess.run(
            [sys.executable, "-m", "prefect", "deployment", "schedule", "create", name, "--interval", str(seconds)],
            cwd=project,
            env={"PREFECT_API_URL": api, "PATH": str(Path(sys.executable).parent), "HOME": str(project)},
            check=True,
            capture_output=True,
        )


def wait_for_champion(url: str, old: str) -> tuple[str, float]:
    """Wait until another model version answers; return it and the time in seconds since 1970."""
    end = time.monotonic() + _TIMEOUT
    with httpx.Client(base_url=url, timeout=30) as client:
        while time.monotonic() < end:
            version = client.get("/info").json()["model_version"]
            if version != old:
                return str(version), time.time()
            time.sleep(0.5)
    raise TimeoutError(f"{old} still answers after {_TIMEOUT:.0f} s")


def run(folder: Path) -> dict[str, Any]:
    """Run the whole loop in a folder and return the figures."""
    deploy_shop(folder)
    configure(folder, rollout={"share": 0.5, "max_hours": 0.005, "check_minutes": 0.1}, gate={"margin": 0.03})
    with stack(folder) as url, Traffic(url).running() as traffic:
        old = httpx.get(f"{url}/info").json()["model_version"]
        for body in batches(later_events()):
            httpx.post(f"{url}/events", json=body, timeout=60).raise_for_status()
        shorten_schedules(folder)
        new, seen = wait_for_champion(url, old)
        time.sleep(5)  # requests after the change count, too
    decision = json.loads(max((folder / "data/loop/decisions").glob("*.json")).read_text())
    return {
        "end_to_end_seconds": round(seen - datetime.fromisoformat(decision["at"]).timestamp(), 1),
        "end_to_end_requests": traffic.num_requests,
        "end_to_end_failed_requests": len(traffic.failures),
        "end_to_end_failures": traffic.failures[:3],
        "end_to_end_models": [old, new],
    }


def main() -> int:
    """Run, print and record."""
    with tempfile.TemporaryDirectory(prefix="tierrec-loop-") as scratch:
        figures = run(Path(scratch) / "shop")
    merge_figures(figures)
    print(json.dumps(figures, indent=1))
    return 1 if figures["end_to_end_failed_requests"] else 0


if __name__ == "__main__":
    sys.exit(main())
