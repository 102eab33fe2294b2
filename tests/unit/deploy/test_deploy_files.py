"""deploy/: each file is valid by its vendor's own schema or linter, and what it names exists."""

import configparser
import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import kubernetes_validate
import pytest
import yaml

from flows.stack.plan import POOLS
from tests.support.images import DOCKERFILE, stages
from tests.support.projects import BIN, ROOT

DEPLOY = ROOT / "deploy"
LOOP = DEPLOY / "kubernetes" / "loop"
SCHEMA = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


@pytest.fixture(scope="module")
def loop() -> list[dict[str, Any]]:
    """The objects of the loop, in the namespace that Kustomize gives them."""
    listed = yaml.safe_load((LOOP / "kustomization.yaml").read_text())
    assert set(listed["resources"]) | {"kustomization.yaml"} == {path.name for path in LOOP.iterdir()}
    return [one for name in listed["resources"] for one in yaml.safe_load_all((LOOP / name).read_text())]


def test_the_dockerfile_has_no_finding_of_the_linter() -> None:
    found = subprocess.run([BIN / "hadolint", DOCKERFILE], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("target", ["service", "worker", "gpu-worker"])
def test_an_image_has_no_root_and_only_the_gpu_worker_has_cuda(target: str) -> None:
    (base,) = [line.split()[1] for line in DOCKERFILE.read_text().splitlines() if line.endswith(f" AS {target}")]
    assert base == ("cuda" if target == "gpu-worker" else "cpu")
    assert "USER 1034" in stages()[base]
    assert "USER" not in stages()[target]
    assert ("download.pytorch.org/whl/cpu" in stages()[base]) == (base == "cpu")


def test_compose_is_valid_by_the_compose_specification(compose: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    assert not list(validator.iter_errors(compose))
    slip = copy.deepcopy(compose)
    slip["services"]["service"]["imagee"] = "a"
    assert ["imagee" in error.message for error in validator.iter_errors(slip)] == [True]


def test_what_compose_names_exists(compose: dict[str, Any]) -> None:
    built = {service["image"]: service["build"] for service in compose["services"].values() if "build" in service}
    for image, build in built.items():
        assert build["target"] in stages()
        assert image == f"tierrec-{build['target']}"
        assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE
    for name, service in compose["services"].items():
        image = service["image"]
        assert image in built or ":" in image, f"{name}: an image of others needs a version"
        assert service.get("depends_on", {}).keys() <= compose["services"].keys()
        for volume in service.get("volumes", ()):
            source = volume.removeprefix("${TIERREC_PROJECT:-..}").partition(":")[0]
            is_project = volume.startswith("${")
            assert is_project or source in compose["volumes"] or (DEPLOY / source).exists(), f"{name}: {volume}"
        for port in service.get("ports", ()):
            assert port.startswith("${TIERREC_BIND:-127.0.0.1}:"), f"{name}: open to other machines by default"
    assert set(POOLS) <= {word for word in compose["services"]["deployments"]["command"][0].split() if word in POOLS}


def test_only_pages_are_served_of_the_projects_data() -> None:
    text = (DEPLOY / "pages" / "nginx.conf").read_text()
    places = [line.split()[-2] for line in text.splitlines() if line.strip().startswith("location")]
    assert places == ["/report/", "/validation/docs/", "/loop/index.html", "/loop/windows/", "404;"]


def test_the_loops_objects_are_valid_and_refer_to_one_another(loop: list[dict[str, Any]]) -> None:
    for manifest in loop:
        kubernetes_validate.validate(manifest, "1.37", strict=True)
    names = {
        kind: {one["metadata"]["name"] for one in loop if one["kind"] == kind} for kind in {o["kind"] for o in loop}
    }
    template = json.loads((DEPLOY / "kubernetes" / "base-job-template.json").read_text())["variables"]["properties"]
    assert template["service_account_name"]["default"] in names["ServiceAccount"]
    assert template["project_claim"]["default"] in names["PersistentVolumeClaim"]
    for one in loop:
        if one["kind"] == "RoleBinding":
            assert one["roleRef"]["name"] in names["Role"]
            assert {subject["name"] for subject in one["subjects"]} <= names["ServiceAccount"]
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]
            assert pod["serviceAccountName"] in names["ServiceAccount"]
            assert pod["securityContext"]["runAsNonRoot"] is True
    workers = [one["spec"]["template"]["spec"] for one in loop if one["kind"] == "Deployment"]
    commands = [pod["containers"][0]["command"] for pod in workers]
    assert {command[command.index("--pool") + 1] for command in commands} == set(POOLS)


def test_the_loop_may_do_what_the_target_does_and_no_more(loop: list[dict[str, Any]]) -> None:
    (role,) = [one for one in loop if (one["kind"], one["metadata"]["name"]) == ("Role", "tierrec-loop")]
    allowed = {
        (resource, verb, *rule.get("resourceNames", ["any"]))
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert allowed == {
        ("configmaps", "create", "any"),
        ("configmaps", "get", "tierrec-pointer"),
        ("configmaps", "patch", "tierrec-pointer"),
        ("deployments", "get", "tierrec"),
    }


def test_systemd_starts_and_stops_the_stack_of_a_user() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "systemd" / "tierrec.service")
    service = unit["Service"]
    folder = service["WorkingDirectory"]
    assert service["ExecStart"] == f"{folder}/.venv/bin/tierrec stack up"
    assert service["ExecStop"] == f"{folder}/.venv/bin/tierrec stack down"
    assert service["User"] != "root"


def test_an_image_has_the_files_that_links_in_the_packages_lead_to() -> None:
    links = [path for room in ("flows", "services", "monitoring", "tierrec_core") for path in (ROOT / room).rglob("*")]
    wanted = {str(path.resolve().relative_to(ROOT)) for path in links if path.is_symlink()}
    assert wanted
    assert wanted <= {name for line in stages()["system"].splitlines() if "COPY" in line for name in line.split()}
    assert {f"!{name}" for name in wanted} <= set((ROOT / ".dockerignore").read_text().split())
