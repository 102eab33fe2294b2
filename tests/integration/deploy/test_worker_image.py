"""The command of the image `worker`, in an empty folder, beside a Prefect server on loopback."""

import re
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.images import start_command
from tests.support.prefect_workers import prefect_server, process, wait_until
from tests.support.projects import BIN, ENV, ROOT, command

PUBLISH = """
from pathlib import Path
from flows.pipeline.page_links import publish_page
from tierrec_core.base.paths import Layout
layout = Layout(Path.cwd())
publish_page(layout, "report", layout.data / "report" / "a b.html")
"""
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def read(url: str, path: str) -> list[dict[str, str]]:
    return list(httpx.post(f"{url}/{path}/filter", json={}, timeout=30).raise_for_status().json())


@pytest.mark.slow
def test_its_worker_runs_a_flow_that_is_named_by_time_and_publishes_links(tmp_path: Path) -> None:
    project, log = tmp_path / "project", tmp_path / "worker.log"
    project.mkdir()
    with prefect_server(tmp_path / "server") as server:
        own = {"PREFECT_API_URL": server.url, "PREFECT_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
        environment = ENV | own | {"TIERREC_ROOT": str(ROOT), "TIERREC_SCHEDULES": "false"}
        command(
            project, "prefect", "work-pool", "create", "cpu", "--type", "process", env=environment
        ).check_returncode()
        command(ROOT, "prefect", "--no-prompt", "deploy", "--name", "reap", env=environment).check_returncode()
        program, *arguments = start_command("worker")
        with process(str(BIN / program), *arguments, folder=project, log=log, env=environment):
            wait_until(lambda: read(server.url, "work_pools/cpu/workers"), "worker")
            command(project, "prefect", "deployment", "run", "reap/reap", env=environment).check_returncode()
            wait_until(lambda: read(server.url, "flow_runs")[0]["state_type"] in ENDED, "run")
        (run,) = read(server.url, "flow_runs")
        assert run["state_type"] == "COMPLETED", log.read_text()
        assert re.fullmatch(r"reap-\d{8}-\d{6}", run["name"])
        pages = environment | {"TIERREC_PAGES_URL": "http://pages.example.org/"}
        command(project, Path(sys.executable).name, "-c", PUBLISH, env=pages).check_returncode()
        (artifact,) = read(server.url, "artifacts")
        assert "(http://pages.example.org/report/a%20b.html)" in artifact["data"]
