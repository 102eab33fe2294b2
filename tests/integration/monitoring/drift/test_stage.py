"""Stage `reference` writes what a monitor can load, whatever the split, and says what it measured."""

import contextlib
import importlib
import io
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from monitoring.drift import DriftReference
from tests.support.projects import synthetic_project
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout

BEFORE = (("tierrec_core", "ingest"), ("monitoring", "validate"), ("tierrec_core", "prepare"))


def run(folder: Path, room: str, stage: str) -> str:
    """Run a stage as `python -m` does, but in this process, which saves the imports."""
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(said):
        assert importlib.import_module(f"{room}.__main__").main([stage]) == 0
    return said.getvalue()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = synthetic_project(tmp_path_factory.mktemp("reference"))
    for room, stage in BEFORE:
        run(folder, room, stage)
    return folder


@pytest.mark.parametrize("kind", ["time", pytest.param("leave_last_out", marks=pytest.mark.slow)])
def test_the_stage_writes_a_reference_and_says_what_it_measured(project: Path, kind: str) -> None:
    yaml, path = YAML(), project / "params.yaml"
    params = yaml.load(path.read_text())
    params["split"] |= {"by": {"kind": kind}, "target": ["purchase", "view", "cart", "redeem"]}
    with path.open("w") as stream:
        yaml.dump(params, stream)
    for stage in ("split", "tier"):
        run(project, "tierrec_core", stage)
    said = run(project, "monitoring", "reference").splitlines()
    reference = artifacts.load(DriftReference, Layout(project).reference)
    own = reference.window
    assert own.end == reference.cut
    assert own.end - own.start == reference.settings.window_days
    assert int(own.events.sum()) > 0
    assert len(said) == 2
    assert f"{int((own.events > 0).sum())} of {len(reference.users)} users" in said[0]
    assert f"from {reference.num_past} pairs of past windows" in said[1]


def test_the_same_data_give_the_same_bytes(project: Path) -> None:
    layout = Layout(project)
    first = [artifacts.sha256(layout.reference / name) for name in ("arrays.safetensors", "meta.json")]
    run(project, "monitoring", "reference")
    assert first == [artifacts.sha256(layout.reference / name) for name in ("arrays.safetensors", "meta.json")]
