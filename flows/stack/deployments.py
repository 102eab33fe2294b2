"""The deployments and automations of prefect.yaml on the stack's server; made again only when something changed.

`prefect deploy` throws an automation away and makes it anew, so that an event between the two starts nothing, and it
loads every flow: so a second `up` leaves alone what is as it should be.
"""

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML

from flows.stack.folder import StackError, StackFolder
from tierrec_core.base import artifacts
from tierrec_core.settings import Params, parse

FILE = "prefect.yaml"
LOG = "deploy"
SCHEDULES_VARIABLE = "TIERREC_SCHEDULES"
_SECONDS, _PAGE = 30.0, 200


class DeployedFlows(Params):
    """What was deployed. fingerprint: of all that it came from; deployments: their ids by name"""

    fingerprint: str
    deployments: dict[str, str]
    automations: tuple[str, ...]


def deploy(root: Path, api_url: str, environment: Mapping[str, str], *, schedules: bool) -> list[str] | None:
    """Bring the server to what prefect.yaml says; the names of its deployments, or None when nothing had changed.

    The pools must exist, or Prefect drops the triggers. Raises StackError with Prefect's own words.
    """
    folder, print_now = StackFolder.of(root), fingerprint(root, schedules=schedules)
    before = _read(folder)
    if before is not None and before.fingerprint == print_now and _is_there(before, api_url):
        return None
    with folder.log(LOG).open("w") as log:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=root,
            env={**environment, SCHEDULES_VARIABLE: str(schedules).lower()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        raise StackError(
            f"{root / FILE}: cannot be deployed; last lines of {folder.log(LOG)}:\n{folder.last_words(LOG)}"
        )
    names = set(_wanted(root))
    now = _ask(api_url, print_now, names)
    if before is not None:
        _remove({name: key for name, key in before.deployments.items() if name not in names}, api_url)
    artifacts.write_json(now.model_dump(mode="json"), folder.deployed)
    return sorted(now.deployments)


def fingerprint(root: Path, *, schedules: bool) -> str:
    """A hash of prefect.yaml, of the files with the flows that it names, and of what is put into it."""
    digest = hashlib.sha256(f"{root}\0{schedules}\0".encode())
    entrypoints = [str(one.get("entrypoint", "")) for one in _read_yaml(root)]
    files = {FILE, *(_file(one) for one in entrypoints)}
    for path in sorted(root / name for name in files):
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def _file(entrypoint: str) -> str:
    """Of flows/pipeline/train.py:train, or of flows.pipeline.train.train."""
    path, _, flow = entrypoint.rpartition(":")
    return path if path else "/".join(flow.split(".")[:-1]) + ".py"


def _read_yaml(root: Path) -> list[dict[str, Any]]:
    path = root / FILE
    if not path.exists():
        raise StackError(f"{path}: is missing, wanted the deployments; run this in the project's folder")
    return list(YAML(typ="safe").load(path.read_text()).get("deployments") or ())


def _wanted(root: Path) -> list[str]:
    return [str(one["name"]) for one in _read_yaml(root)]


def _read(folder: StackFolder) -> DeployedFlows | None:
    if not folder.deployed.exists():
        return None
    return parse(DeployedFlows, artifacts.read_json(folder.deployed), str(folder.deployed))


def _is_there(before: DeployedFlows, api_url: str) -> bool:
    """Whether the server still has all that was deployed; a new database has nothing of it."""
    now = _ask(api_url, before.fingerprint, set(before.deployments))
    return now.deployments == before.deployments and set(before.automations) == set(now.automations)


def _ask(api_url: str, fingerprint: str, names: set[str]) -> DeployedFlows:
    with httpx.Client(base_url=api_url, timeout=_SECONDS) as client:
        wanted = {"deployments": {"name": {"any_": sorted(names)}}, "limit": _PAGE}
        answer = client.post("deployments/filter", json=wanted)
        deployments = {one["name"]: str(one["id"]) for one in answer.raise_for_status().json()}
        automations = [
            str(one["id"])
            for key in deployments.values()
            for one in client.get(f"automations/related-to/prefect.deployment.{key}")
            .raise_for_status()
            .json()
        ]
    return DeployedFlows(
        fingerprint=fingerprint, deployments=deployments, automations=tuple(sorted(set(automations)))
    )


def _remove(deployments: Mapping[str, str], api_url: str) -> None:
    """Those that prefect.yaml names no more, with their schedules."""
    for key in deployments.values():
        httpx.delete(f"{api_url}/deployments/{key}", timeout=_SECONDS)
