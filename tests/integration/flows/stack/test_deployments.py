"""Deployments on a real Prefect server have the intervals of params.yaml."""

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.project.params import set_values
from flows.stack.deployments import deploy_flows, render_deployments
from flows.stack.folder import StackFolder
from tests.support.prefect_workers import prefect_server
from tests.support.projects import ROOT
from tierrec_core.base.errors import SettingsError

FLOWS = "from prefect import flow\n\n\n@flow\ndef rollout() -> None: ...\n\n\n@flow\ndef train() -> None: ...\n"
DEPLOYMENTS = """
name: shop
deployments:
  - {name: rollout, entrypoint: "shop.py:rollout", work_pool: {name: cpu}, schedules: [{interval: 600}]}
  - {name: train, entrypoint: "shop.py:train", work_pool: {name: cpu}, schedules: [{interval: 3600}]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "shop.py").write_text(FLOWS)
    (tmp_path / "prefect.yaml").write_text(DEPLOYMENTS)
    return tmp_path


def intervals(api_url: str) -> dict[str, float]:
    deployments: list[dict[str, Any]] = httpx.post(f"{api_url}/deployments/filter", json={}).json()
    return {one["name"]: one["schedules"][0]["schedule"]["interval"] for one in deployments}


@pytest.mark.slow
def test_the_rollout_runs_as_often_as_params_say(project: Path) -> None:
    folder = StackFolder.of(project)
    folder.make()
    with prefect_server(project / "prefect") as server:
        server.pool("cpu")
        assert deploy_flows(project, server.url, server.env, schedules=False) == ["rollout", "train"]
        assert intervals(server.url) == {"rollout": 600, "train": 3600}
        set_values(project / "params.yaml", ["rollout.check_minutes=2.5"])
        assert deploy_flows(project, server.url, server.env, schedules=False) == ["rollout", "train"]
        assert intervals(server.url) == {"rollout": 150, "train": 3600}
        assert deploy_flows(project, server.url, server.env, schedules=False) is None


def test_invalid_params_stop_the_deployment(project: Path) -> None:
    (project / "params.yaml").write_text("rollout: {check_minutes: -1}\n")
    with pytest.raises(SettingsError, match="check_minutes"):
        render_deployments(project)
