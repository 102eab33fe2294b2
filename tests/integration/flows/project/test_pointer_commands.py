"""Commands that change the pointer at the same time, each a process of its own, as several people type them."""

import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from services.releases.manifest import SmokeReport
from services.releases.pointer import Pointer, deploy, promote
from services.shared_files import exclusive
from tests.support.projects import BIN, ENV, ROOT
from tierrec_core.base.paths import Layout

VERSIONS = range(1, 6)
_AFTER_START = "pydantic_core"  # a library that a command imports once it has been started


def report(version: int) -> SmokeReport:
    smoke = {"next": {"users": 1, "identical": 1}}
    return SmokeReport.model_validate({"tag": f"shop:{version}", "model": f"shop-bundle:{version}", "smoke": smoke})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project with five Bentos, each of which was the champion, the last one now."""
    made = Layout(tmp_path)
    shutil.copy(ROOT / "params.yaml", made.params)
    path = made.serving / "pointer.json"
    for version in VERSIONS:
        bento = made.bento_home / "bentos" / "shop" / str(version) / "bento.yaml"
        bento.parent.mkdir(parents=True)
        raw = {"name": "shop", "version": str(version), "models": [{"tag": f"shop-bundle:{version}"}], "labels": {}}
        with bento.open("w") as stream:
            YAML().dump(raw | {"creation_time": f"2026-01-0{version}"}, stream)
        deploy(path, report(version), 0.1)
        if version > 1:
            promote(path)
    return made


def start(layout: Layout, *arguments: str) -> psutil.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {name: value for name, value in ENV.items() if name != "TIERREC_STATE"}
    return psutil.Popen([str(BIN / "tierrec"), *arguments], cwd=layout.root, env=environment, **pipes)


def wait_started(process: psutil.Popen) -> None:
    while not any(_AFTER_START in part.path for part in process.memory_maps()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


def test_four_rollbacks_at_once_go_back_one_release(layout: Layout) -> None:
    path = layout.serving / "pointer.json"
    before = Pointer.read(path).revision
    with exclusive(path):  # so that none is over before the last is started
        commands = [start(layout, "rollback") for _ in range(4)]
        for command in commands:
            wait_started(command)
    ends = [(*command.communicate(timeout=120), command.returncode) for command in commands]
    assert sorted(code for *_, code in ends) == [0, 2, 2, 2], ends
    assert [out for out, _, code in ends if code == 0] == ["shop:4 serves all users\n"]
    for _, error, code in ends:
        if code:
            assert error.startswith(f"error: rollback: {path} has changed meanwhile"), error
            assert "rollback at" in error
            assert "made shop:4 the champion" in error
    now = Pointer.read(path)
    assert (now.champion.bento, now.revision) == ("shop:4", before + 1)
