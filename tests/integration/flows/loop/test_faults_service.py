"""A killed service is back, under the stack's supervisor, with all that it had acknowledged."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import httpx
import pandas as pd
import psutil
import pytest

from flows.stack.folder import StackFolder
from flows.stack.plan import SERVICE, StackOptions, stack_environment, stack_parts
from flows.stack.supervision.processes import end_processes, stack_processes
from flows.stack.supervision.supervisor import Supervisor
from tests.support.packaged_project import packaged_project
from tests.support.prefect_workers import answers, free_port, wait_until
from tierrec_core.base import artifacts

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, items: pd.DataFrame) -> Path:
    """A project with a packaged Bento."""
    return packaged_project(tmp_path_factory.mktemp("service") / "shop", items).root


@pytest.fixture
def service(root: Path) -> Iterator[tuple[Supervisor, str]]:
    """The service alone, kept running as `tierrec stack up` does it; its URL."""
    options, folder = StackOptions(service_port=free_port()), StackFolder.of(root)
    (part,) = [one for one in stack_parts(root, options) if one.name == SERVICE]
    told = stack_environment(root, options, os.environ)
    folder.make()
    described = asdict(part) | {"folder": str(part.folder), "environment": {**told, **part.environment}}
    artifacts.write_json({SERVICE: described}, folder.parts)
    supervisor = Supervisor(folder)
    supervisor.start([part], told)
    try:
        wait_until(lambda: supervisor.pid is not None, "supervisor")
        supervisor.begin(SERVICE)
        yield supervisor, options.service_url
    finally:
        daemon = supervisor.pid
        supervisor.shut_down()
        if daemon is not None:
            psutil.wait_procs([psutil.Process(daemon)] if psutil.pid_exists(daemon) else [], timeout=60)
        end_processes(one.process for one in stack_processes(folder))


def test_a_killed_service_is_back_and_has_lost_nothing(root: Path, service: tuple[Supervisor, str]) -> None:
    supervisor, url = service
    is_ready = lambda: answers(f"{url}/readyz")  # noqa: E731
    wait_until(is_ready, "the service", 180)
    killed = supervisor.processes()[SERVICE].pid
    workers = psutil.Process(killed).children(recursive=True)
    event = {"key": "bought", "user_id": "u07", "item_id": "i31", "event": "purchase"}
    assert httpx.post(f"{url}/events", json={"events": [event]}, timeout=60).json()["accepted"] == 1
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: supervisor.processes()[SERVICE].pid not in (0, killed), "another process")
    wait_until(lambda: psutil.wait_procs(workers, timeout=0)[1] == [], "the end of what was left")
    wait_until(is_ready, "the service again", 180)
    again = httpx.post(f"{url}/events", json={"events": [event]}, timeout=60).json()
    assert (again["accepted"], again["duplicates"]) == (0, 1), "it was kept"
    answer = httpx.post(f"{url}/recommend", json={"user_id": "u07"}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.text)["items"]
