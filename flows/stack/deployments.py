"""Deploys the flows of prefect.yaml to the stack's server, if anything has changed since the last time.

`prefect deploy` deletes and recreates automations, so that an event in between starts nothing, and it imports every
flow; so a second `tierrec stack up` skips it when the server is up to date.
"""

import hashlib
import io
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML

from flows.stack.folder import StackError, StackFolder
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Params, parse, read_settings

FILE = "prefect.yaml"
LOG = "deploy"
ROLLOUT = "rollout"
_DEPLOYED = "deployed.json"
SCHEDULES_VARIABLE = "TIERREC_SCHEDULES"
_TIMEOUT_SECONDS, _PAGE = 30.0, 200


class DeployedFlows(Params):
    """The last deployment. fingerprint: of its sources; deployments: ids by name"""

    fingerprint: str
    deployments: dict[str, str]
    automations: tuple[str, ...]


def deploy_flows(root: Path, api_url: str, environment: Mapping[str, str], *, schedules: bool) -> list[str] | None:
    """Deploy prefect.yaml to the server; returns the deployments' names, or None when the server is up to date.

    The work pools must exist, or Prefect drops the triggers. Raises StackError with Prefect's output.
    """
    folder, current = StackFolder.of(root), deployments_fingerprint(root, schedules=schedules)
    record = folder.path / _DEPLOYED
    before = parse(DeployedFlows, artifacts.read_json(record), str(record)) if record.exists() else None
    if before is not None and before.fingerprint == current and _is_complete(before, api_url):
        return None
    prefect_yaml = folder.path / FILE
    prefect_yaml.write_text(render_deployments(root))
    with folder.log(LOG).open("w") as log:
        completed = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(prefect_yaml)],
            cwd=root,
            env={**environment, SCHEDULES_VARIABLE: str(schedules).lower()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    if completed.returncode:
        raise StackError(
            f"{root / FILE}: cannot be deployed; last lines of {folder.log(LOG)}:\n{folder.last_lines(LOG)}"
        )
    names = {str(deployment["name"]) for deployment in _read_deployments(root)}
    deployed = _query_server(api_url, current, names)
    if before is not None:
        for name in before.deployments.keys() - names:
            httpx.delete(f"{api_url}/deployments/{before.deployments[name]}", timeout=_TIMEOUT_SECONDS)
    artifacts.write_json(deployed.model_dump(mode="json"), record)
    return sorted(deployed.deployments)


def render_deployments(root: Path) -> str:
    """prefect.yaml as the stack deploys it: the rollout runs every rollout.check_minutes of params.yaml."""
    document = _read_yaml(root)
    for deployment in document.get("deployments") or ():
        if deployment["name"] == ROLLOUT:
            seconds = read_settings(Layout(root).params).rollout.check_minutes * 60
            for schedule in deployment["schedules"]:
                schedule["interval"] = seconds
    stream = io.StringIO()
    YAML(typ="safe").dump(document, stream)
    return stream.getvalue()


def deployments_fingerprint(root: Path, *, schedules: bool) -> str:
    """A hash of all that a deployment depends on: the rendered prefect.yaml and the files of its flows."""
    digest = hashlib.sha256(f"{root}\0{schedules}\0{render_deployments(root)}".encode())
    files = {_source_file(str(deployment.get("entrypoint", ""))) for deployment in _read_deployments(root)}
    for path in sorted(root / name for name in files):
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def _source_file(entrypoint: str) -> str:
    """The file of flows/pipeline/tasks.py:train or of flows.pipeline.tasks.train."""
    path, _, flow = entrypoint.rpartition(":")
    return path if path else "/".join(flow.split(".")[:-1]) + ".py"


def _read_yaml(root: Path) -> dict[str, Any]:
    path = root / FILE
    if not path.exists():
        raise StackError(f"{path}: is missing, wanted the deployments; run this in the project's folder")
    return dict(YAML(typ="safe").load(path.read_text()))


def _read_deployments(root: Path) -> list[dict[str, Any]]:
    return list(_read_yaml(root).get("deployments") or ())


def _is_complete(before: DeployedFlows, api_url: str) -> bool:
    """Whether the server still has everything that was deployed; a new database has nothing."""
    current = _query_server(api_url, before.fingerprint, set(before.deployments))
    return current.deployments == before.deployments and set(before.automations) == set(current.automations)


def _query_server(api_url: str, fingerprint: str, names: set[str]) -> DeployedFlows:
    with httpx.Client(base_url=api_url, timeout=_TIMEOUT_SECONDS) as client:
        query = {"deployments": {"name": {"any_": sorted(names)}}, "limit": _PAGE}
        response = client.post("deployments/filter", json=query)
        deployments = {row["name"]: str(row["id"]) for row in response.raise_for_status().json()}
        automations = {
            str(automation["id"])
            for deployment_id in deployments.values()
            for automation in client.get(f"automations/related-to/prefect.deployment.{deployment_id}")
            .raise_for_status()
            .json()
        }
    return DeployedFlows(fingerprint=fingerprint, deployments=deployments, automations=tuple(sorted(automations)))
