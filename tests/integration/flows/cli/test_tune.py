"""`tierrec tune` as a person uses it: it says what it tries, can be stopped, goes on, and leaves a patch."""

import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.support.projects import BIN, ENV, command, tiered_project
from tierrec_core.settings import read_settings

PARAMS = """# ours
split:
  by: {kind: time, cut: 0.8}
  min_users_per_item: 2
tasks:
  next: {horizon_days: 7, windows: 2, step_days: 7}
models:
  ease: {kind: ease, l2: 100000}  # too high
"""


@pytest.fixture
def project(events: pd.DataFrame, items: pd.DataFrame, tmp_path: Path) -> Path:
    params = tmp_path / "params.yaml"
    params.write_text(PARAMS)
    tiered_project(tmp_path, events, items, read_settings(params))
    return tmp_path


def figures(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("ndcg@10") and "best" in line]


@pytest.mark.slow
def test_a_search_that_was_stopped_goes_on_and_its_patch_is_applied(project: Path) -> None:
    whole = [str(BIN / "tierrec"), "tune", "ease", "--trials", "40"]
    first = subprocess.Popen(whole, cwd=project, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert first.stdout is not None
    heard = [first.stdout.readline() for _ in range(3)]
    first.send_signal(signal.SIGINT)
    rest, said = first.communicate(timeout=60)
    assert first.returncode == 130, said
    assert "the same command resumes" in said
    before = len(figures("".join(heard) + rest))
    assert 2 <= before < 40

    again = command(project, "tierrec", "tune", "ease", "--trials", "40", "--apply")
    assert again.returncode == 0, again.stderr
    assert 40 - before <= len(figures(again.stdout)) <= 41 - before  # the last told may not have been kept
    patch = YAML(typ="safe").load((project / "data/tuning/ease-next.yaml").read_text())
    chosen = read_settings(project / "params.yaml").models["ease"]
    assert chosen == {"kind": "ease"} | patch["models"]["ease"]
    assert chosen["l2"] < 100_000
    assert "# ours" in (project / "params.yaml").read_text()

    nothing = command(project, "tierrec", "tune", "ease", "--trials", "40")
    assert nothing.returncode == 0, nothing.stderr
    assert len(figures(nothing.stdout)) == 0
    assert "nothing better than params.yaml" in nothing.stdout


def test_what_cannot_be_tuned_is_one_line(project: Path) -> None:
    ran = command(project, "tierrec", "tune", "eese")
    assert ran.returncode == 2
    assert ran.stderr == "error: tune: no model 'eese' in params.yaml; known are ease, blend\n"
