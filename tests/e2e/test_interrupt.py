"""An interrupted run leaves no process that writes, and the next run continues."""

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from flows.graph.dvc_graph import find_stale_stages
from flows.project.params import replace_sections
from tests.support.projects import BIN, ENV, command, migrate_prefect, toy_project

SLOW = """
stages:
  quick: {cmd: "echo ran >> quick.log; echo 1 > quick.txt", outs: [quick.txt]}
  slow:
    cmd: "if [ -e go ]; then echo 2 > slow.txt; else while true; do date >> ticks; sleep 0.1; done; fi"
    deps: [quick.txt]
    outs: [slow.txt]
"""


def wait_for(path: Path, run: subprocess.Popen[str], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.1)


def living_in(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cwd", "status"])
        if process.info["cwd"] == str(folder) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.parametrize(
    "sign", [signal.SIGINT, *(pytest.param(sign, marks=pytest.mark.slow) for sign in (signal.SIGTERM, signal.SIGKILL))]
)
def test_no_orphan_writes_and_the_next_run_continues(tmp_path: Path, sign: signal.Signals) -> None:
    project = toy_project(tmp_path / "project", SLOW)
    migrate_prefect(project / ".prefect")
    run = subprocess.Popen(
        [BIN / "tierrec", "run"], cwd=project, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(project / "ticks", run)
    run.send_signal(sign)
    _, said = run.communicate(timeout=60)
    assert run.returncode != 0
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(living_in(project), timeout=10)
    assert alive == []
    (project / "go").touch()
    again = command(project, "tierrec", "run")
    assert again.returncode == 0, again.stderr
    assert (project / "slow.txt").read_text() == "2\n"
    assert (project / "quick.log").read_text() == "ran\n"


CHAIN = """
stages:
  first: {cmd: "echo ${seed} > first.txt", params: [seed], outs: [first.txt]}
  folder: {cmd: "mkdir -p parts; cp first.txt parts/a.txt; cp first.txt parts/b.txt", deps: [first.txt], outs: [parts]}
  beside: {cmd: "sleep 0.2; cp first.txt beside.txt", deps: [first.txt], outs: [beside.txt]}
  last: {cmd: "cat parts/a.txt parts/b.txt beside.txt > last.txt", deps: [parts, beside.txt], outs: [last.txt]}
"""


def kill_tree(run: subprocess.Popen[str], project: Path) -> None:
    """Kill the command, its children, and the stages, which are in sessions of their own, as a power cut would."""
    for process in {*psutil.Process(run.pid).children(recursive=True), *living_in(project)}:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    run.kill()
    run.communicate(timeout=60)


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_is_continued(tmp_path: Path) -> None:
    project, rng = toy_project(tmp_path / "project", CHAIN), np.random.default_rng(1)
    migrate_prefect(project / ".prefect")
    started = time.monotonic()
    command(project, "tierrec", "run").check_returncode()
    seconds = time.monotonic() - started
    for number in range(1, 31):
        replace_sections(project / "params.yaml", {"seed": number})
        run = subprocess.Popen(
            [BIN / "tierrec", "run"], cwd=project, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        moment = rng.uniform(0.2, seconds)
        time.sleep(moment)
        kill_tree(run, project)
        again = command(project, "tierrec", "run")
        assert again.returncode == 0, (number, moment, again.stdout, again.stderr)
        assert (project / "last.txt").read_text() == f"{number}\n" * 3
        assert find_stale_stages(project) == set()
