"""The code that each stage runs is that which it imports, and dvc.yaml names the settings that it reads."""

import ast
import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grimp
import pytest
from ruamel.yaml import YAML

from flows.deps import ENTRIES, ROOMS, code_dependencies, stage_folders
from flows.graph.dvc_graph import find_stale_stages
from tests.support.projects import ROOT, pretend_run, synthetic_project
from tierrec_core.models.registry import KINDS
from tierrec_core.settings import Settings
from tierrec_core.stage_code import FOLDERS, VERSIONS, code_folders

TEXT = (ROOT / "dvc.yaml").read_text()
STAGES: Mapping[str, Any] = {
    name: block.get("do", block) for name, block in YAML(typ="safe").load(TEXT)["stages"].items()
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*ROOMS)


def code_of(stage: str) -> set[str]:
    return set(code_folders(ROOT)[stage])


def test_the_folders_of_a_stage_are_those_that_it_imports() -> None:
    assert stage_folders(TEXT) == (ROOT / FOLDERS).read_text(), "run `python -m flows.deps --write`"


def test_a_stage_has_the_version_of_its_own_code_among_its_params() -> None:
    for stage, body in STAGES.items():
        (versions,) = (key[VERSIONS] for key in body["params"] if not isinstance(key, str))
        assert versions == ["train.${item.kind}" if stage == "train" else stage]
        assert all(path.startswith("data/") or path == "constraints.txt" for path in body.get("deps", ()))


def test_code_dependencies_are_folders() -> None:
    code = [path for stage in STAGES for path in code_of(stage)]
    assert sum(path.endswith(".py") for path in code) <= 10


def test_every_imported_module_lies_in_a_dependency(graph: grimp.ImportGraph) -> None:
    """By brute force over the files, without the rule that shortens them to folders."""
    for stage, body in STAGES.items():
        room, name = body["cmd"].split(" -m ")[1].split()[:2]
        entry = ENTRIES[f"{room} {name}"]
        for module in graph.find_upstream_modules(entry) | {entry}:
            path = module.replace(".", "/")
            exempt = (*ROOMS, "tierrec_core.models.registry", "tierrec_core.models")
            if module in exempt or module.startswith(("tierrec_core.settings", "tierrec_core.stages")):
                continue
            assert any(f"{path}/".startswith(f"{folder}/") for folder in code_of(stage)), (stage, module)


def test_train_depends_on_its_own_kind_alone(graph: grimp.ImportGraph) -> None:
    models = {path for path in code_of("train") if "/models" in path}
    assert models == {"tierrec_core/models/${item.kind}"}
    command = STAGES["train"]["cmd"]
    assert "tierrec_core/linalg" in code_dependencies(graph, "train", command, ()), "what any kind imports"


def test_stages_that_load_all_models_depend_on_all_kinds() -> None:
    assert all("tierrec_core/models" in code_of(stage) for stage in ("retrieve", "evaluate", "package"))


def test_each_kind_lies_in_the_folder_of_its_name() -> None:
    for kind, place in KINDS.items():
        assert place.partition(":")[0] == f"tierrec_core.models.{kind}"


def test_kinds_that_train_with_torch_go_to_the_gpu_queue(graph: grimp.ImportGraph) -> None:
    trainer = "tierrec_core.neural.trainer"
    deep = {kind for kind in KINDS if trainer in graph.find_upstream_modules(f"tierrec_core.models.{kind}")}
    assert deep <= set(STAGES["train"]["meta"]["kinds"])
    assert set(STAGES["train"]["meta"]["kinds"]) & set(KINDS) == deep


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_stage_reads_only_the_settings_that_its_params_name(stage: str) -> None:
    room, name = STAGES[stage]["cmd"].split(" -m ")[1].split()[:2]
    tree = ast.parse(inspect.getsource(importlib.import_module(ENTRIES[f"{room} {name}"])))
    read = {
        node.attr.rstrip("_")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "settings"
    }
    named = {key.partition(".")[0] for key in STAGES[stage]["params"] if isinstance(key, str)}
    named |= {"tracking"}  # where training curves are written changes no result
    assert read & {field.rstrip("_") for field in Settings.model_fields} <= named


def test_every_block_of_models_says_its_kind() -> None:
    blocks = YAML(typ="safe").load((ROOT / "params.yaml").read_text())["models"]
    assert {name for name, block in blocks.items() if block.get("kind") not in KINDS} == set()


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose dvc.lock says that every stage has run on today's code, without running any."""
    project = synthetic_project(tmp_path_factory.mktemp("committed") / "project")
    pretend_run(project)
    assert find_stale_stages(project) == set()
    return project


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("tierrec_core/settings/serving/__init__.py", {"package"}),
        ("tierrec_core/models/ease/__init__.py", {"train@ease", "retrieve", "evaluate", "package"}),
        ("services/api/app.py", {"package"}),
        ("monitoring/report/report.py", {"report"}),
        ("tierrec_core/sources/synthetic.py", {"ingest", "prepare"}),
        ("tierrec_core/models/registry.py", {"retrieve", "evaluate", "package"}),
    ],
)
def test_a_change_makes_stale_what_depends_on_it_and_nothing_else(
    committed: Path, file: str, expected: set[str]
) -> None:
    before = (committed / file).read_text()
    (committed / file).write_text(f"{before}\n# changed\n")
    try:
        assert find_stale_stages(committed) == expected
    finally:
        (committed / file).write_text(before)
    assert find_stale_stages(committed) == set()
