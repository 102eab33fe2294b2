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
    ("door-monitoring", "services/__init__.py", "import evidently"),
    ("door-training", "tierrec_core/stages/train.py", "import wandb"),
]


def lint(project: Path, contract: str) -> subprocess.CompletedProcess[str]:
    arguments = [BIN / "lint-imports", "--no-cache", "--contract", contract]
    env = {"PYTHONPATH": str(project), "PATH": str(BIN)}
    return subprocess.run(arguments, cwd=project, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(("contract", "file", "breach"), BREACHES)
def test_contract_can_fail(tmp_path: Path, contract: str, file: str, breach: str) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room in ("tierrec_core", "monitoring", "services", "flows"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    assert lint(tmp_path, contract).returncode == 0
    with (tmp_path / file).open("a") as stream:
        stream.write(f"\n{breach}\n")
    broken = lint(tmp_path, contract)
    assert broken.returncode == 1
    assert "0 kept, 1 broken" in broken.stdout


def test_every_contract_is_broken_once() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert [contract["id"] for contract in contracts] == [breach[0] for breach in BREACHES]
