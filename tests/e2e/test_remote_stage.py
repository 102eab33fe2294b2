"""Stages that ask for the queue gpu, with a real server, real workers, two clones and a DVC remote between them."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import psutil
import pytest

from flows.gpu.worker import run_stage_in_clone
from tests.support.prefect_workers import Server, commit, prefect_server, s3, wait_until
from tests.support.projects import BIN, command, toy_project

pytestmark = pytest.mark.slow

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
# Each stage writes down, outside of the project, where it ran: whether a result was fetched or made shows there.
# What the stages read is the folder around outputs, which git knows by the .gitignore in it.
GRAPH = """
stages:
  data:
    cmd: "echo data $PWD >> {log}; mkdir -p rows/two; echo 1 > rows/one; echo 2 > rows/two/b"
    outs: [rows/one, rows/two]
  train:
    foreach:
      deep: {{kind: sasrec}}{wide}
      flat: {{kind: ease}}
    do:
      cmd: "echo ${{key}} $PWD >> {log}; {during}; cat rows/one rows/two/b > ${{key}}.txt"
      deps: [rows]
      outs: ["${{key}}.txt"]
      meta: {{queue: gpu, kind: "${{item.kind}}", kinds: [sasrec, multitask]}}
  best: {{cmd: "echo best $PWD >> {log}; cat *.txt > best", deps: [deep.txt, flat.txt], outs: [best]}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as running:
        running.pool()
        running.deploy(run_stage_in_clone, "stage")
        yield running


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture(scope="module")
def worker(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the worker keeps its clones."""
    clones = tmp_path_factory.mktemp("clones")
    with server.worker("main", TIERREC_CLONE=str(clones), **KEYS):
        yield clones


def project_in(folder: Path, during: str = "true", *, wide: bool = False) -> tuple[Path, Path]:
    """A project and the log of what ran where; with `wide`, two of its stages ask for the queue."""
    log, more = folder / "ran", "\n      wide: {kind: multitask}" if wide else ""
    return toy_project(folder / "project", GRAPH.format(log=log, during=during, wide=more)), log


def tierrec_run(project: Path, server: Server) -> subprocess.CompletedProcess[str]:
    arguments = [str(BIN / "tierrec"), "run"]
    return subprocess.run(arguments, cwd=project, env=server.env | KEYS, capture_output=True, text=True, timeout=120)


def places(log: Path) -> dict[str, list[Path]]:
    """The folders in which each stage ran."""
    found: dict[str, list[Path]] = {}
    for line in log.read_text().splitlines():
        name, place = line.split()
        found.setdefault(name, []).append(Path(place))
    return found


def configure(project: Path, remote: str, endpoint: str) -> None:
    url = {"folder": str(project.parent / "remote"), "s3": f"s3://{project.parent.name}/dvc"}[remote]
    command(project, "dvc", "remote", "add", "--default", "shared", url).check_returncode()
    if remote == "s3":
        command(project, "dvc", "remote", "modify", "shared", "endpointurl", endpoint).check_returncode()
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket=project.parent.name)


def ran_once(log: Path, project: Path, clones: Path) -> bool:
    """Whether each stage ran once: the one of the queue in a clone, all others in the project."""
    where = places(log)
    [deep] = where.pop("deep")
    return clones in deep.parents and where == {name: [project] for name in ("data", "flat", "best")}


@pytest.mark.parametrize("remote", ["folder", "s3"])
def test_worker_makes_it_in_a_clone_and_the_project_takes_it_without_running(
    tmp_path_factory: pytest.TempPathFactory, server: Server, worker: Path, endpoint: str, remote: str
) -> None:
    folder = tmp_path_factory.mktemp(remote)
    code = "import sys, tierrec_core; print(tierrec_core.__file__, sys.prefix)"
    project, log = project_in(folder, f"python -c '{code}' >> {folder}/code")
    (project / "tierrec_core").mkdir()
    (project / "tierrec_core" / "__init__.py").touch()
    configure(project, remote, endpoint)
    commit(project)
    ran = tierrec_run(project, server)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran_once(log, project, worker)
    assert (project / "best").read_text() == "1\n2\n" * 2
    used = dict(line.split() for line in (folder / "code").read_text().splitlines())
    roots = {places(log)["deep"][0], project}
    assert used == {str(root / "tierrec_core" / "__init__.py"): str(BIN.parent) for root in roots}
    assert command(project, "dvc", "status").stdout.strip() == "Data and pipelines are up to date."


def test_project_without_remotes_gets_one_that_git_does_not_see_and_each_revision_its_own_result(
    tmp_path: Path, server: Server, worker: Path
) -> None:
    project, log = project_in(tmp_path)
    commit(project)
    assert tierrec_run(project, server).returncode == 0
    assert ran_once(log, project, worker)
    changed = subprocess.run(["git", "status", "--short"], cwd=project, capture_output=True, text=True).stdout
    assert ".dvc/config" not in changed
    graph = project / "dvc.yaml"
    graph.write_text(graph.read_text().replace("echo 2 >", "echo 5 >"))
    assert tierrec_run(project, server).returncode == 0
    assert (project / "deep.txt").read_text() == "1\n5\n"
    assert len(places(log)["deep"]) == 2


def test_ready_stages_are_out_side_by_side(tmp_path: Path, server: Server, worker: Path) -> None:
    """Each of the two waits for the other to have begun: one after the other they would wait for ever."""
    begun = tmp_path / "begun"
    begun.mkdir()
    wait = f"touch {begun}/${{key}}; while [ $(ls {begun} | grep -vc flat) -lt 2 ]; do sleep 0.1; done"
    project, log = project_in(tmp_path, wait, wide=True)
    ran = tierrec_run(project, server)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len({place for name in ("deep", "wide") for place in places(log)[name]}) == 2


def test_a_stage_that_fails_there_says_here_why(tmp_path: Path, server: Server, worker: Path) -> None:
    fail = "echo 'error: rows/one: is bad' >&2; exit 2"
    project, log = project_in(tmp_path, f"if [ ${{key}} = deep ]; then {fail}; fi")
    ran = tierrec_run(project, server)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith(("error: train@deep: rows/one: is bad", "error: train@flat: "))
    assert worker in places(log)["deep"][0].parents


def test_without_a_worker_it_runs_here_and_one_line_says_why(tmp_path: Path, server: Server) -> None:
    project, log = project_in(tmp_path)
    graph = project / "dvc.yaml"
    graph.write_text(graph.read_text().replace("queue: gpu", "queue: tpu"))
    ran = tierrec_run(project, server)
    assert ran.returncode == 0, ran.stderr
    assert {place for where in places(log).values() for place in where} == {project}
    lines = [line for line in ran.stdout.splitlines() if "run here" in line]
    assert len(lines) == 1
    assert "train@deep run here: the server has no work pool tpu" in lines[0]


def test_interrupt_ends_the_stage_at_the_worker_too(tmp_path: Path, server: Server, worker: Path) -> None:
    ticks = tmp_path / "ticks"
    forever = f"while true; do echo $PWD >> {ticks}; sleep 0.1; done"
    project, _ = project_in(tmp_path, f"if [ ${{key}} = deep ]; then {forever}; fi")
    before = {one.id for one in server.runs()}
    run = subprocess.Popen(
        [BIN / "tierrec", "run"], cwd=project, env=server.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        wait_until(ticks.exists, "a tick")
        run.send_signal(signal.SIGINT)
        said, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode != 0
    assert b"Traceback" not in said
    [sent] = [one for one in server.runs() if one.id not in before]
    wait_until(lambda: server.run(sent.id).state_name == "Cancelled", "the run's end", 60)
    clone = Path(ticks.read_text().splitlines()[0])
    assert worker in clone.parents
    wait_until(lambda: not living_in(clone), "the stage's end", 10)


def living_in(folder: Path) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(folder)]
