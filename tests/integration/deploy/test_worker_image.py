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
POOL = {"name": "cpu", "type": "process", "base_job_template": {}}


def read(url: str, path: str) -> list[dict[str, str]]:
    return list(httpx.post(f"{url}/{path}/filter", json={}, timeout=30).raise_for_status().json())


@pytest.mark.slow
def test_its_worker_is_online_a_run_is_named_by_flow_and_time_and_a_page_has_a_link(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    with prefect_server(tmp_path / "server") as server:
        environment = ENV | {
            "PREFECT_API_URL": server.url,
            "PREFECT_HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(ROOT),
        }
        httpx.post(f"{server.url}/work_pools/", json=POOL, timeout=30).raise_for_status()
        program, *arguments = start_command("worker")
        with process(str(BIN / program), *arguments, folder=project, log=tmp_path / "worker.log", env=environment):
            wait_until(lambda: read(server.url, "work_pools/cpu/workers"), "worker")
            (worker,) = read(server.url, "work_pools/cpu/workers")
            assert worker["status"] == "ONLINE", (tmp_path / "worker.log").read_text()
        script = "from flows.liveness import reap; reap()"
        environment["TIERREC_PAGES_URL"] = "http://pages.example.org/"
        command(project, Path(sys.executable).name, "-c", script, env=environment).check_returncode()
        (run,) = read(server.url, "flow_runs")
        command(project, Path(sys.executable).name, "-c", PUBLISH, env=environment).check_returncode()
        (artifact,) = read(server.url, "artifacts")
        assert "(http://pages.example.org/report/a%20b.html)" in artifact["data"]
        assert re.fullmatch(r"reap-\d{8}-\d{6}", run["name"])
