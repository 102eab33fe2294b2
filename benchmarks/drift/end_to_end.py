"""python -m benchmarks.drift.end_to_end: the loop with real processes and nobody touching it.

Events posted to the Bento -> store -> monitor -> Prefect event -> automation -> retrain, its deep model on the gpu
pool -> gate -> challenger on a share of users -> champion, while users go on asking. Printed and merged into
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

from benchmarks.drift.figures import keep
from services.deployment.server import free_port
from tests.support.drifting_shop import batches, drifting_shop
from tests.support.projects import command

USERS = [f"u{number:03d}" for number in range(300)]
_LOOKS_EVERY, _ROLLS_EVERY = 20, 10  # seconds between runs of monitor and rollout
_PATIENCE = 900.0


@dataclass
class Traffic:
    """Users who ask for lists, one after the other, until told to stop."""

    url: str
    asked: int = 0
    failed: list[str] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def flowing(self) -> Iterator["Traffic"]:
        """While inside, requests are made."""
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
                user = USERS[self.asked % len(USERS)]
                self.asked += 1
                try:
                    answer = client.post("/recommend", json={"user_id": user, "k": 10})
                    if answer.status_code != 200 or len(answer.json()["items"]) != 10:
                        self.failed.append(f"{answer.status_code} {answer.text[:200]}")
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    self.failed.append(repr(error))


@contextmanager
def stack(project: Path) -> Iterator[str]:
    """The project's stack on free ports; gives the service's URL."""
    server, service = free_port(), free_port()
    ports = ["--server-port", str(server), "--service-port", str(service)]
    up = command(project, "tierrec", "stack", "up", "--no-schedules", *ports, timeout=400)
    print(up.stdout, up.stderr, flush=True)
    try:
        up.check_returncode()
        yield f"http://127.0.0.1:{service}"
    finally:
        print(command(project, "tierrec", "stack", "down", timeout=120).stdout, flush=True)


def look_often(project: Path) -> None:
    """Let the schedules of monitor and rollout be seconds instead of an hour and minutes."""
    api = json.loads((project / "data/loop/stack/stack.json").read_text())["api_url"]
    for name, seconds in (("monitor/monitor", _LOOKS_EVERY), ("rollout/rollout", _ROLLS_EVERY)):
        subprocess.run(
            [
                sys.executable,
                "-m",
                "prefect",
                "deployment",
                "schedule",
                "create",
                name,
                "--interval",
                str(seconds),
            ],
            cwd=project,
            env={"PREFECT_API_URL": api, "PATH": str(Path(sys.executable).parent), "HOME": str(project)},
            check=True,
            capture_output=True,
        )


def wait_for_champion(url: str, old: str) -> tuple[str, float]:
    """The model version that answers once it is another one, and when that was seen, in seconds since 1970."""
    end = time.monotonic() + _PATIENCE
    with httpx.Client(base_url=url, timeout=30) as client:
        while time.monotonic() < end:
            now = client.get("/info").json()["model_version"]
            if now != old:
                return str(now), time.time()
            time.sleep(0.5)
    raise TimeoutError(f"{old} still answers after {_PATIENCE:.0f} s")


def run(folder: Path) -> dict[str, Any]:
    """The whole story in a folder; the figures."""
    later = drifting_shop(
        folder, rollout={"share": 0.5, "max_hours": 0.005, "check_minutes": 0.1}, gate={"margin": 0.03}
    )
    command(folder, "tierrec", "run", timeout=600).check_returncode()
    command(folder, "tierrec", "deploy").check_returncode()
    with stack(folder) as url, Traffic(url).flowing() as traffic:
        old = httpx.get(f"{url}/info").json()["model_version"]
        for body in batches(later):
            httpx.post(f"{url}/events", json=body, timeout=60).raise_for_status()
        look_often(folder)
        new, seen = wait_for_champion(url, old)
        time.sleep(5)  # requests after the change count, too
    decision = json.loads(max((folder / "data/loop/decisions").glob("*.json")).read_text())
    return {
        "end_to_end_seconds": round(seen - datetime.fromisoformat(decision["at"]).timestamp(), 1),
        "end_to_end_requests": traffic.asked,
        "end_to_end_failed_requests": len(traffic.failed),
        "end_to_end_failures": traffic.failed[:3],
        "end_to_end_models": [old, new],
    }


def main() -> int:
    """Run it, print it, keep it."""
    with tempfile.TemporaryDirectory(prefix="tierrec-loop-") as scratch:
        figures = run(Path(scratch) / "shop")
    keep(figures)
    print(json.dumps(figures, indent=1))
    return 1 if figures["end_to_end_failed_requests"] else 0


if __name__ == "__main__":
    sys.exit(main())
