"""The job template for Kubernetes: Prefect takes it, and the Job that it fills in is one by Kubernetes' own schema."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.utilities.templating import apply_values, find_placeholders
from ruamel.yaml import YAML

TEMPLATE = Path(__file__).parents[4] / "deploy" / "kubernetes" / "base-job-template.json"
BY_WORKER = {"name": "brisk-otter", "labels": {"prefect.io/flow-run-id": "1"}}


def template() -> dict[str, Any]:
    return json.loads(TEMPLATE.read_text())


def job(**chosen: object) -> dict[str, Any]:
    """As a worker fills it in: the pool's defaults, what was chosen, and the worker's own words."""
    read = template()
    properties = read["variables"]["properties"]
    values = {name: one["default"] for name, one in properties.items() if "default" in one}
    values |= chosen
    jsonschema.validate(values, read["variables"])
    command = {"command": ["prefect", "flow-run", "execute"]}
    filled = apply_values(read["job_configuration"], values | BY_WORKER | command)
    manifest: dict[str, Any] = filled["job_manifest"]
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    # The worker makes a list of the variables before it hands the manifest over.
    container["env"] = [{"name": name, "value": value} for name, value in container["env"].items()]
    return manifest


def test_prefect_takes_the_template():
    made = WorkPoolCreate(name="gpu", type="kubernetes", base_job_template=template())
    assert made.base_job_template == template()
    jsonschema.Draft202012Validator.check_schema(template()["variables"])


def test_every_variable_is_used_and_every_placeholder_is_a_variable():
    used = {one.name for one in find_placeholders(template()["job_configuration"])}
    assert used == set(template()["variables"]["properties"])


@pytest.mark.parametrize("gpus", [0, 1])
def test_the_job_is_one_by_kubernetes_own_schema(gpus: int):
    manifest = job(gpus=gpus, image="shop:7", project_claim="shop")
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    pod = manifest["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["image"] == "shop:7"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus
    assert {"name": "TIERREC_CLONE", "value": "/clones"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "tierrec"}}]
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}


def test_half_a_gpu_is_refused():
    with pytest.raises(jsonschema.ValidationError, match="integer"):
        job(gpus=0.5)


def test_a_run_asks_for_what_it_needs():
    deployments = YAML(typ="safe").load((TEMPLATE.parents[2] / "prefect.yaml").read_text())["deployments"]
    asked = {}
    for deployment in deployments:
        manifest = job(**deployment["work_pool"].get("job_variables", {}))
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
        asked[deployment["name"]] = manifest["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert asked["train"] == asked["retrain"] == asked["stage"] == {"cpu": "2", "memory": "8Gi"}
    assert asked["monitor"] == asked["deploy"] == {"cpu": "1", "memory": "4Gi"}
    assert asked["rollout"] == {"cpu": "250m", "memory": "1Gi"}
    assert asked["reap"] == {"cpu": "100m", "memory": "512Mi"}
