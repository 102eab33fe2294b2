"""A person's commands reach the target of params.yaml, and the same record as the loop's."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.project.champion import deploy_release, pointer_path, roll_back_release
from flows.project.release_log import list_releases
from services.releases.manifest import SmokeReport
from services.releases.pointer import Pointer, deploy, promote
from services.targets.target import find_target
from tests.support.commands import tierrec
from tests.support.kubernetes_api import CONFIGMAPS, KubernetesApi, kubernetes_api
from tests.support.projects import toy_project
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings

POINTER = f"{CONFIGMAPS}/tierrec-pointer"


def report(version: int) -> SmokeReport:
    smoke = {"next": {"users": 1, "identical": 1}}
    return SmokeReport.model_validate({"tag": f"shop:{version}", "model": f"shop-bundle:{version}", "smoke": smoke})


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    with kubernetes_api(tmp_path) as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig))
        monkeypatch.delenv("TIERREC_STATE", raising=False)
        yield running


@pytest.fixture
def layout(tmp_path: Path, api: KubernetesApi) -> Layout:
    """A project that deploys to the cluster: three Bentos, the first is the champion and the second the challenger."""
    made, volume, yaml = Layout(tmp_path / "project"), tmp_path / "volume", YAML()
    toy_project(made.root, "stages: {}\n")
    volume.mkdir()
    params = yaml.load(made.params.read_text())
    params["deploy"] = {"target": "kubernetes", "namespace": "shop", "releases": str(volume)}
    with made.params.open("w") as stream:
        yaml.dump(params, stream)
    for version in range(1, 4):
        bento = made.bento_home / "bentos" / "shop" / str(version)
        for folder in (bento, made.bento_home / "models" / "shop-bundle" / str(version)):
            folder.mkdir(parents=True)
        raw = {"name": "shop", "version": str(version), "models": [{"tag": f"shop-bundle:{version}"}], "labels": {}}
        with (bento / "bento.yaml").open("w") as stream:
            YAML().dump(raw | {"creation_time": f"2026-01-0{version}"}, stream)
    target = find_target(made, read_settings(made.params).deploy)
    for version in (1, 2):
        deploy(pointer_path(made), report(version), 0.1, target=target)
    return made


def served(api: KubernetesApi) -> Pointer:
    """The pointer that the pods read."""
    return Pointer.model_validate_json(api.objects[POINTER]["data"]["pointer.json"])


def states(layout: Layout) -> dict[str, list[tuple[str, str]]]:
    return {
        record.tag: [(change.state, change.reason) for change in record.changes] for record in list_releases(layout)
    }


def test_a_persons_promotion_and_rollback_reach_the_pods_and_are_shown(layout: Layout, api: KubernetesApi) -> None:
    assert tierrec("promote", folder=layout.root) == "shop:2 serves all users\n"
    assert served(api).champion.bento == "shop:2"
    assert tierrec("rollback", folder=layout.root) == "shop:1 serves all users\n"
    assert served(api) == Pointer.read(pointer_path(layout))
    assert states(layout) == {"shop:2": [("promoted", "promoted by a user"), ("rolled back", "rolled back by a user")]}
    listed = tierrec("releases", folder=layout.root)
    assert "Deployment shop/tierrec is missing" in listed
    assert [line for line in listed.splitlines() if line.startswith("shop:2") and "rolled back by a user" in line]
    decided = tierrec("decisions", folder=layout.root).splitlines()
    assert [line.split("  ")[1:] for line in decided[-2:]] == [
        ["shop:2", "promoted: promoted by a user"],
        ["shop:2", "rolled back: rolled back by a user"],
    ]
    (row,) = [row for row in json.loads(tierrec("releases", "--json", folder=layout.root)) if row["tag"] == "shop:2"]
    assert [change["state"] for change in row["changes"]] == ["promoted", "rolled back"]


def test_what_the_loop_decides_goes_the_same_way(layout: Layout, api: KubernetesApi) -> None:
    roll_back_release(layout, reason="worse: 1 of 100", seen=served(api).revision)
    assert (served(api).champion.bento, served(api).challenger) == ("shop:1", None)
    assert states(layout) == {"shop:2": [("rolled back", "worse: 1 of 100")]}


def test_a_deployment_brings_the_release_to_the_pods_volume(layout: Layout, api: KubernetesApi, tmp_path: Path) -> None:
    artifacts.write_json(report(3).model_dump(mode="json"), layout.bento)
    deploy_release(layout, share=0.2)
    assert (served(api).challenger, served(api).share) == (Pointer.read(pointer_path(layout)).challenger, 0.2)
    assert (tmp_path / "volume" / "bentos" / "shop" / "3" / "bento.yaml").is_file()


def test_manifests_hold_the_pointer_that_the_pods_have(layout: Layout, api: KubernetesApi, tmp_path: Path) -> None:
    target = find_target(layout, read_settings(layout.params).deploy)
    promote(tmp_path / "elsewhere" / "pointer.json", target=target)
    docker = layout.bento_home / "bentos" / "shop" / "2" / "env" / "docker"
    docker.mkdir(parents=True)
    (docker / "Dockerfile").write_text("FROM scratch")
    tierrec("manifests", "--out", tmp_path / "out", "--namespace", "shop", folder=layout.root)
    text = YAML(typ="safe").load((tmp_path / "out" / "configmap.yaml").read_text())["data"]["pointer.json"]
    assert Pointer.model_validate_json(text) == served(api)
    assert served(api).champion.bento == "shop:2"


def test_a_lost_cluster_changes_nothing_and_releases_are_still_listed(layout: Layout, api: KubernetesApi) -> None:
    before = pointer_path(layout).read_bytes()
    text = api.kubeconfig.read_text()
    api.kubeconfig.write_text(text.replace("http://127.0.0.1:", "http://127.0.0.1:1#"))
    listed = tierrec("releases", folder=layout.root)
    assert "the target does not answer, so the roles are those of the last change made here" in listed
    assert "challenger 10%" in listed
    assert pointer_path(layout).read_bytes() == before
