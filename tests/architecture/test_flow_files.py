"""Prefect puts a flow's folder on the path when it loads the file: no module there may hide a package of ours."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent.parent
ROOMS = {"flows", "services", "monitoring", "tierrec_core", "tests"}
DEPLOYMENTS = YAML(typ="safe").load((ROOT / "prefect.yaml").read_text())["deployments"]
FILES = sorted({one["entrypoint"].partition(":")[0] for one in DEPLOYMENTS if ":" in one["entrypoint"]})


@pytest.mark.parametrize("file", FILES)
def test_no_module_beside_a_flow_has_the_name_of_a_room(file: str) -> None:
    assert (ROOT / file).is_file()
    beside = {path.stem for path in (ROOT / file).parent.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert beside & ROOMS == set()
