"""`tierrec simulate` as a person runs it: a table, a summary, and the same as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.simulate import app
from tests.support.projects import ROOT
from tierrec_core.base.errors import SettingsError

_WIDE = {"COLUMNS": "200", "OMP_NUM_THREADS": "1"}


def _run(*arguments: str) -> str:
    """In a process of its own, as the command runs."""
    program = "from flows.cli.simulate import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=os.environ | _WIDE,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> tuple[str, dict]:
    path: Path = tmp_path_factory.mktemp("simulate") / "told.json"
    arguments = ("--world", "synthetic", "--shift", "interests", "--share", "0.4", "--month", "7", "--seed", "3")
    return _run(*arguments, "--json", str(path)), json.loads(path.read_text())


@pytest.mark.slow
def test_the_shift_is_seen_in_its_first_whole_window_and_told(told):
    text, report = told
    assert "40% of the users move half of their favourite category to" in text
    hit = next(step for step in report["steps"] if report["change_start"] == step["window"].split(" .. ")[0])
    assert hit["state"] == "drift"
    assert hit["retrain"]
    assert any("favourite" in reason or "category" in reason for reason in hit["reasons"])
    assert report["delay_days"] is not None
    assert hit["window"] in text


@pytest.mark.slow
def test_the_table_has_a_row_a_month_and_the_frozen_model_beside(told):
    text, report = told
    assert len(report["steps"]) == 6
    for step in report["steps"]:
        assert f"{step['ndcg']:.4f}" in text
        assert f"{step['ndcg_frozen']:.4f}" in text
    assert sum(step["retrain"] for step in report["steps"]) == report["retrains"]


@pytest.mark.slow
def test_the_same_seed_tells_the_same(told, tmp_path):
    path = tmp_path / "again.json"
    arguments = ("--world", "synthetic", "--shift", "interests", "--share", "0.4", "--month", "7", "--seed", "3")
    _run(*arguments, "--json", str(path))
    again = json.loads(path.read_text())
    seconds = ("retrain_cpu_seconds", "watch_cpu_seconds")
    assert {k: v for k, v in again.items() if k not in seconds} == {
        k: v for k, v in told[1].items() if k not in seconds
    }


@pytest.mark.slow
def test_a_broken_feed_is_named_and_nobody_retrains_on_it(tmp_path):
    path = tmp_path / "told.json"
    _run("--world", "synthetic", "--shift", "missing_days", "--month", "7", "--json", str(path))
    report = json.loads(path.read_text())
    faulty = [step for step in report["steps"] if step["state"] == "fault"]
    assert len(faulty) == 1
    assert not faulty[0]["retrain"]
    assert "days are missing" in faulty[0]["reasons"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shift", "tea"], "'tea' is unknown; known are none, interests"),
        (["--policy", "luck"], "'luck' is unknown; wanted one of ours"),
        (["--every", "400"], "too few for two steps of 400 days; set fewer days"),
    ],
)
def test_an_unknown_word_is_answered_with_the_known_ones(options, message):
    result = CliRunner().invoke(app, ["--world", "synthetic", *options])
    assert isinstance(result.exception, SettingsError)
    assert message in str(result.exception)
