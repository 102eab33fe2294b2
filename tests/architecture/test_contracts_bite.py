"""Each import contract of pyproject.toml fails when it is broken."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.projects import BIN, ROOT

BREACHES = [
    ("rooms", "tierrec_core/base/errors.py", "import flows.deps"),
    ("core", "tierrec_core/base/contracts.py", "import tierrec_core.data.splits"),
    ("services", "services/store/store.py", "import services.api.app"),
    ("flows", "flows/graph/progress.py", "import flows.cli.main"),
    ("monitoring", "monitoring/drift/verdict.py", "import monitoring.report.report"),
    ("models", "tierrec_core/models/ease/__init__.py", "import tierrec_core.models.als"),
    ("client", "services/api/app.py", "import tierrec_client"),
    ("door-flows", "tierrec_core/base/paths.py", "import prefect"),
    ("door-services", "flows/graph/process_guard.py", "import bentoml"),
    ("door-targets", "services/targets/follow.py", "import boto3"),
    ("door-monitoring", "services/__init__.py", "import evidently"),
    ("door-training", "tierrec_core/stages/train.py", "import wandb"),
]


def lint(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": str(project), "PATH": str(BIN)}
    return subprocess.run([BIN / "lint-imports", *arguments], cwd=project, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code in a folder of its own, in which every contract is kept."""
    folder = tmp_path_factory.mktemp("contracts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for room in ("tierrec_core", "monitoring", "services", "flows"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    assert f"{len(BREACHES)} kept, 0 broken" in lint(folder).stdout
    return folder


@pytest.mark.parametrize(("contract", "file", "breach"), BREACHES)
def test_contract_can_fail(kept: Path, contract: str, file: str, breach: str) -> None:
    module = kept / file
    text = module.read_text()
    module.write_text(f"{text}\n{breach}\n")
    broken = lint(kept, "--contract", contract)
    module.write_text(text)
    assert broken.returncode == 1
    assert "0 kept, 1 broken" in broken.stdout


def test_every_contract_is_broken_once() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert [contract["id"] for contract in contracts] == [breach[0] for breach in BREACHES]
