"""The contents of a Bento, and that its version depends on them alone."""

import ast
import importlib.metadata
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from services.deployment.contents import RUNTIME, BentoContents, pin_requirements, provenance, upstream_entries
from tests.support.projects import ROOT
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings, parse

BROUGHT_BY_BENTOML = ("bentoml", "httpx", "jinja2", "starlette", "uvicorn")
TASK = {"horizon_days": 14, "windows": 2}
LOCK = {
    "ingest": {"outs": [{"path": "data/raw/events.parquet"}]},
    "split": {
        "deps": [{"path": "data/raw/events.parquet"}, {"path": "tierrec_core/data/splits.py"}],
        "outs": [{"path": "data/split/log"}],
    },
    "train@ease": {"deps": [{"path": "data/split"}], "outs": [{"path": "data/models/ease"}]},
    "report": {"deps": [{"path": "data/split/log"}], "outs": [{"path": "data/report/index.html"}]},
    "package": {"deps": [{"path": "data/models"}], "outs": [{"path": "data/package/bundle"}]},
}


def settings_with(**blocks: object) -> Settings:
    raw = {"tasks": {"next": TASK, "discovery": TASK | {"repeats": False}}, "models": {}}
    return parse(Settings, raw | blocks, "tests")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project with everything that contents are gathered from."""
    layout = Layout(tmp_path)
    for name in ("dvc.yaml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for room in ("services", "tierrec_core"):
        (tmp_path / room).symlink_to(ROOT / room, target_is_directory=True)
    layout.bundle.mkdir(parents=True)
    (layout.bundle / "weights").write_bytes(b"0123")
    board = {"blend": {"ndcg@10": 0.38761}}
    artifacts.write_json({"next": board, "discovery": board}, layout.metrics)
    return layout


def test_labels_hold_the_headline_metric(layout: Layout) -> None:
    contents = BentoContents.gather(layout, settings_with())
    assert contents.labels["next.ndcg@10"] == "0.3876"
    assert contents.release.bento == f"tierrec:{contents.version}"


def test_version_depends_on_each_part_and_on_nothing_else(layout: Layout) -> None:
    contents = BentoContents.gather(layout, settings_with())
    assert BentoContents.gather(layout, settings_with(validate={"max_bad_share": 0.5})).version == contents.version
    changed = [
        replace(contents, name="other"),
        replace(contents, default_task="discovery"),
        replace(contents, code=contents.code[1:]),
        replace(contents, requirements=contents.requirements[1:]),
        replace(contents, bundle="0"),
        BentoContents.gather(layout, settings_with(policy={"max_per_category": 3})),
    ]
    assert len({contents.version} | {other.version for other in changed}) == len(changed) + 1


def test_carried_code_needs_only_what_is_required(layout: Layout) -> None:
    contents = BentoContents.gather(layout, settings_with())
    assert {"services/api/app.py", "services/recommend/surfaces.py", "services/rules/rules.py"} <= set(contents.code)
    assert "tierrec_core/models/ease/__init__.py" in contents.code
    dists = importlib.metadata.packages_distributions()
    required = {canonicalize_name(name) for name in (*RUNTIME, *BROUGHT_BY_BENTOML)}
    for path in contents.code:
        if path.startswith("services/targets/"):
            continue  # their vendors are extras, for the machines that deploy.target needs
        for module in _imported(ast.parse((layout.root / path).read_text())):
            if module not in sys.stdlib_module_names | {"services", "tierrec_core"}:
                assert required & {canonicalize_name(name) for name in dists[module]}, (path, module)


def _imported(tree: ast.Module) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names}


def test_pins_names_in_any_spelling(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# ours\nRuamel_Yaml==0.1\nnumpy==2.4.6\n")
    assert pin_requirements(["numpy", "ruamel.yaml"], constraints) == ("numpy==2.4.6", "Ruamel_Yaml==0.1")
    with pytest.raises(ArtifactError, match="no version of torch"):
        pin_requirements(["torch", "numpy"], constraints)
    with pytest.raises(ArtifactError, match="cannot be read"):
        pin_requirements(["numpy"], tmp_path / "nothing.txt")


def test_upstream_entries_are_those_that_the_package_depends_on() -> None:
    found = upstream_entries(LOCK, ["data/models", "services/deployment/package.py"])
    assert set(found) == {"ingest", "split", "train@ease"}
    without = {name: entry for name, entry in LOCK.items() if name not in ("report", "package")}
    assert upstream_entries(without, ["data/models"]) == upstream_entries(LOCK, ["data/models"])
    assert upstream_entries(LOCK, ["services/deployment/package.py"]) == {}


def test_provenance_changes_with_the_lock_entries_that_the_package_depends_on(layout: Layout) -> None:
    lock = layout.root / "dvc.lock"
    assert provenance(layout)["dvc_lock"] == "none"

    def hash_of(stages: object) -> str:
        lock.write_text(json.dumps({"stages": stages}))
        return provenance(layout)["dvc_lock"]

    before = hash_of(LOCK)
    assert hash_of({name: entry for name, entry in LOCK.items() if name not in ("report", "package")}) == before
    assert hash_of(LOCK | {"ingest": LOCK["ingest"] | {"cmd": "other"}}) != before


def test_an_invalid_name_is_an_error(layout: Layout) -> None:
    with pytest.raises(SettingsError, match=r"package\.name: 'My Shop'"):
        BentoContents.gather(layout, settings_with(package={"name": "My Shop"}))


def test_a_missing_input_is_an_error(layout: Layout) -> None:
    artifacts.write_json({"next": {}}, layout.metrics)
    with pytest.raises(ArtifactError, match=r"metrics\.json: lacks 'blend'"):
        BentoContents.gather(layout, settings_with())
    (layout.root / "dvc.yaml").write_text("stages: {}")
    with pytest.raises(ArtifactError, match=r"dvc\.yaml: has no stage 'package'"):
        BentoContents.gather(layout, settings_with())
