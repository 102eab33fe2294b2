"""A Bento whose building was killed half-way is taken for what it is, and the next package makes it whole."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.support.packaged_project import add_code, judged_project
from tests.support.process_faults import opened
from tests.support.projects import ENV
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout

pytestmark = pytest.mark.slow


@pytest.fixture
def layout(tmp_path: Path, items: pd.DataFrame) -> Layout:
    layout, _ = judged_project(tmp_path / "shop", items)
    add_code(layout.root)
    for command in ("init -q", "add params.yaml", "-c user.name=a -c user.email=a@b commit -qm first"):
        subprocess.run(["git", *command.split()], cwd=layout.root, check=True)
    return layout


@pytest.mark.parametrize("store", ["models", "bentos"])
def test_a_killed_build_is_made_anew(layout: Layout, store: str) -> None:
    command = [sys.executable, "-m", "services", "package"]
    place = layout.bento_home / store
    place.mkdir(parents=True)
    with opened(place) as files:
        building = subprocess.Popen(command, cwd=layout.root, env=ENV, start_new_session=True)
        while not files:
            assert building.poll() is None
            time.sleep(0.001)
        os.killpg(building.pid, signal.SIGKILL)
        building.wait()
    assert len(list(place.glob("*/*"))) >= 1
    assert not layout.bento.exists()
    done = subprocess.run(command, cwd=layout.root, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    smoke = artifacts.read_json(layout.bento)["smoke"]
    assert all(one["identical"] == one["users"] for one in smoke.values())
    assert list((layout.bento_home / "half_made").iterdir()) == []
