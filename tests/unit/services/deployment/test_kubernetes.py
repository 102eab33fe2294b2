"""Kubernetes manifests: valid by the API's own schema, and their references resolve."""

import copy
import os
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from services.deployment.kubernetes import KubernetesSettings, dockerfile, render_manifests
from services.releases.manifest import SmokeReport
from services.releases.pointer import Pointer, deploy
from services.shared_files import STATE_VARIABLE
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import parse

OLDEST, NEWEST = "1.27", "1.37"
Manifests = dict[str, Any]
KINDS = {
    "configmap.yaml": "ConfigMap",
    "deployment.yaml": "Deployment",
    "hpa.yaml": "HorizontalPodAutoscaler",
    "pdb.yaml": "PodDisruptionBudget",
    "pvc.yaml": "PersistentVolumeClaim",
    "service.yaml": "Service",
}


@pytest.fixture(scope="module")
def pointer(tmp_path_factory: pytest.TempPathFactory) -> Pointer:
    path = tmp_path_factory.mktemp("serving") / "pointer.json"
    for version in ("one", "two"):
        smoke = {"next": {"users": 1, "identical": 1}}
        raw = {"tag": f"shop:{version}", "model": f"shop-bundle:{version}", "smoke": smoke}
        deploy(path, SmokeReport.model_validate(raw), 0.25)
    return Pointer.read(path)


@pytest.fixture(scope="module")
def parsed(pointer: Pointer) -> Manifests:
    settings = KubernetesSettings(name="shop", namespace="market", secret="vault")
    return {name: yaml.safe_load(text) for name, text in render_manifests(settings, pointer).items()}


def pod(parsed: Manifests) -> dict[str, Any]:
    return dict(parsed["deployment.yaml"]["spec"]["template"]["spec"])


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", KINDS)
def test_each_is_valid_by_the_schema_of_the_api(parsed: Manifests, name: str, version: str) -> None:
    assert kubernetes_validate.validate(parsed[name], version, strict=True) == version
    assert parsed[name]["kind"] == KINDS[name]
    assert parsed[name]["metadata"]["namespace"] == "market"


def test_the_schema_rejects_a_misspelled_field(parsed: Manifests) -> None:
    slip = copy.deepcopy(parsed["deployment.yaml"])
    slip["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(slip, NEWEST, strict=True)


def test_selectors_and_targets_match_the_deployment(parsed: Manifests) -> None:
    deployment = parsed["deployment.yaml"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        parsed["pdb.yaml"]["spec"]["selector"]["matchLabels"],
        parsed["service.yaml"]["spec"]["selector"],
    ):
        assert selector
        assert selector.items() <= labels.items()
    target = parsed["hpa.yaml"]["spec"]["scaleTargetRef"]
    kind = {name: deployment[name] for name in ("apiVersion", "kind")}
    assert target == kind | {"name": deployment["metadata"]["name"]}
    resource = parsed["hpa.yaml"]["spec"]["metrics"][0]["resource"]["name"]
    assert resource in pod(parsed)["containers"][0]["resources"]["requests"], "utilization needs a request"
    assert parsed["hpa.yaml"]["spec"]["minReplicas"] == deployment["spec"]["replicas"]
    assert parsed["pdb.yaml"]["spec"]["minAvailable"] < deployment["spec"]["replicas"]


def test_ports_of_probes_and_service_are_ports_of_the_container(parsed: Manifests) -> None:
    container = pod(parsed)["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {probe["port"] for probe in probes.values()} <= ports.keys()
    paths = {"startup": "/readyz", "readiness": "/readyz", "liveness": "/livez"}
    assert {name: probe["path"] for name, probe in probes.items()} == paths
    assert {port["targetPort"] for port in parsed["service.yaml"]["spec"]["ports"]} <= ports.keys()
    assert container["args"][-2:] == ["--port", str(ports["http"])]


def test_volumes_come_from_rendered_resources_or_the_secret(parsed: Manifests) -> None:
    spec = pod(parsed)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    containers = (*spec["initContainers"], *spec["containers"])
    assert {mount["name"] for container in containers for mount in container["volumeMounts"]} == volumes.keys()
    claim = volumes["state"]["persistentVolumeClaim"]["claimName"]
    assert claim == parsed["pvc.yaml"]["metadata"]["name"]
    configmap, secret = volumes["config"]["projected"]["sources"]
    assert configmap["configMap"]["name"] == parsed["configmap.yaml"]["metadata"]["name"]
    variables = {variable["name"]: variable for variable in spec["containers"][0]["env"]}
    store = variables["TIERREC_STORE"]["valueFrom"]["secretKeyRef"]
    assert (secret["secret"]["name"], store) == ("vault", {"name": "vault", "key": "store-url"})
    paths = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert variables[STATE_VARIABLE]["value"] in paths


def test_pods_find_in_their_store_what_a_deployment_copies_to_the_volume(parsed: Manifests) -> None:
    container = pod(parsed)["containers"][0]
    home = {variable["name"]: variable.get("value") for variable in container["env"]}["BENTOML_HOME"]
    places = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert (places[f"{home}/bentos"]["name"], places[f"{home}/bentos"]["subPath"]) == ("state", "bentos")
    assert 'mkdir -p "$TIERREC_STATE/bentos"' in pod(parsed)["initContainers"][0]["args"][0]


def test_nothing_runs_as_root_or_writes_to_its_image(parsed: Manifests) -> None:
    spec = pod(parsed)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] != 0
    closed = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"] == closed
        assert container["resources"].keys() == {"requests", "limits"}


def test_the_configmap_holds_the_pointer_and_the_image_is_its_champion(parsed: Manifests, pointer: Pointer) -> None:
    text = parsed["configmap.yaml"]["data"]["pointer.json"]
    assert Pointer.model_validate_json(text) == pointer
    assert {one["image"] for one in pod(parsed)["containers"] + pod(parsed)["initContainers"]} == {"shop:one"}


def test_the_first_container_shares_the_models_and_links_pointer_and_keys(parsed: Manifests, tmp_path: Path) -> None:
    first = pod(parsed)["initContainers"][0]
    bento, state, config = (tmp_path / name for name in ("bento", "state", "config"))
    (bento / "models" / "shop-bundle" / "1" / "bundle").mkdir(parents=True)
    (bento / "models" / "shop-bundle" / "1" / "bundle" / "weights").write_text("new")
    (bento / "models" / "shop-bundle" / "latest").write_text("1")
    for folder in (state, config):
        folder.mkdir()
    for name in ("pointer.json", "keys.json"):
        (config / name).write_text(name)
    folders = {"BENTO_PATH": bento, STATE_VARIABLE: state, "TIERREC_CONFIG": config}
    environment = os.environ | {"HOSTNAME": "pod-1"} | {name: str(path) for name, path in folders.items()}
    (state / ".pod-1").mkdir()
    weights = state / "models" / "shop-bundle" / "1" / "bundle" / "weights"
    for _ in range(2):
        subprocess.run([*first["command"], *first["args"]], env=environment, check=True)
        assert weights.read_text() == "new"
        assert (state / "pointer.json").read_text() == "pointer.json"
        assert (state / "keys.json").read_text() == "keys.json"
        assert not (state / ".pod-1").exists()
    weights.write_text("kept")
    subprocess.run([*first["command"], *first["args"]], env=environment, check=True)
    assert weights.read_text() == "kept"
    assert [path.name for path in (state / "models" / "shop-bundle").iterdir()] == ["1"]


def test_an_image_is_rendered_unchanged_and_other_texts_are_rejected(pointer: Pointer) -> None:
    digest = f"registry.example.org:5000/shop@sha256:{'0' * 64}"
    text = render_manifests(KubernetesSettings(image=digest), pointer)["deployment.yaml"]
    assert yaml.safe_load(text)["spec"]["template"]["spec"]["containers"][0]["image"] == digest
    for bad in ("", "a b", "a\n", '"', "{{ 1 }}", "a\nhostNetwork: true", "$(HOME)", "-v"):
        with pytest.raises(SettingsError, match="image: string should"):
            parse(KubernetesSettings, {"image": bad}, "manifests")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"name": "Shop"}, "name: string should match pattern"),
        ({"name": "1shop"}, "name: string should match pattern"),
        ({"replicas": 1}, "replicas: input should be greater than or equal to 2"),
        ({"replicas": 5, "max_replicas": 4}, "max_replicas is 4, less than replicas, which is 5"),
        ({"memory": ["1Gi", "lots"]}, r"memory\.1: string should match pattern"),
        ({"imge": "a"}, "imge: unknown key; did you mean 'image'"),
    ],
)
def test_invalid_settings_are_errors(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse(KubernetesSettings, raw, "manifests")


def test_a_missing_dockerfile_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"Dockerfile: cannot be read .* wanted the Dockerfile of shop:1"):
        dockerfile(Layout(tmp_path), "shop:1")
