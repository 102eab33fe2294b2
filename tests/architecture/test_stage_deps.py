"""dvc.yaml names the code that each stage runs, found by reading the imports."""

from pathlib import Path

import grimp
from ruamel.yaml import YAML

from flows.deps import ROOMS, code_of, rewrite
from tests.support.projects import ROOT
from tierrec_core.models.registry import KINDS

GRAPH = grimp.build_graph(*ROOMS)


def test_dvc_yaml_names_what_the_stages_import() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    assert rewrite(text) == text, "run `python -m flows.deps --write`"


def test_a_forgotten_file_is_put_back() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    assert rewrite(text.replace("      - tierrec_core/data/splits.py\n", "", 1)) == rewrite(text)


def test_train_hangs_on_its_own_kind_alone() -> None:
    files = code_of(GRAPH, "train", "python -m tierrec_core train ease")
    assert [file for file in files if "/models/" in file and "__init__" not in file] == [
        "tierrec_core/models/${item.kind}/__init__.py"
    ]


def test_a_stage_that_reads_all_models_hangs_on_all_kinds() -> None:
    files = code_of(GRAPH, "retrieve", "python -m tierrec_core retrieve")
    assert {f"tierrec_core/models/{kind}.py" for kind in KINDS} <= set(files)


def test_each_kind_lives_in_the_file_of_its_name() -> None:
    assert all(place.partition(":")[0] == f"tierrec_core.models.{kind}" for kind, place in KINDS.items())


def test_every_block_of_models_says_its_kind() -> None:
    blocks = YAML(typ="safe").load(Path(ROOT / "params.yaml").read_text())["models"]
    assert {name for name, block in blocks.items() if block.get("kind") not in KINDS} == set()
