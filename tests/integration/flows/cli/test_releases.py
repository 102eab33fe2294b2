"""From packaged Bentos to a pointer, by the commands that an engineer types, in a project of the tiny world."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import kubernetes_validate
import pandas as pd
import pytest
import yaml

from flows.project.release_log import list_releases
from services.auth.keys import Keyring
from services.deployment import release_server
from services.deployment.build import build_bento
from services.deployment.contents import BentoContents
from services.releases.pointer import Pointer
from tests.support.commands import tierrec
from tests.support.images import start_command
from tests.support.packaged_project import packaged_project
from tests.support.prefect_workers import answers, free_port, process, wait_until
from tests.support.projects import BIN, ENV, ROOT, command
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, GateError, SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, items: pd.DataFrame) -> Layout:
    """A project with a packaged Bento and, in its store, a newer one of the same model."""
    layout = packaged_project(tmp_path_factory.mktemp("project"), items)
    command(layout.root, "dvc", "init", "--no-scm", "-q").check_returncode()
    contents = BentoContents.gather(layout, read_settings(layout.params))
    build_bento(layout, replace(contents, labels={**contents.labels, "trial": "1"}))
    return layout


@pytest.fixture(scope="module")
def tags(made: Layout) -> tuple[str, str]:
    """The packaged one, and the other."""
    packaged = artifacts.read_json(made.bento)["tag"]
    versions = {path.parent.name for path in made.bento_home.glob("bentos/tierrec/*/bento.yaml")}
    (other,) = {f"tierrec:{version}" for version in versions} - {packaged}
    return packaged, other


@pytest.fixture
def pointer(made: Layout, tmp_path: Path) -> Path:
    """Where a state folder of this test alone has its pointer."""
    return tmp_path / "state" / "pointer.json"


def shop_command(layout: Layout, pointer: Path, *arguments: str) -> str:
    """What a command prints about the shop of the pointer."""
    return tierrec(*arguments, "--folder", pointer.parent, folder=layout.root)


def test_a_release_is_tried_promoted_and_taken_back(made: Layout, tags: tuple[str, str], pointer: Path) -> None:
    packaged, other = tags
    listed = shop_command(made, pointer, "releases").splitlines()
    assert ["champion 100%" in line for line in listed] == [False, True], "without a pointer the packaged one"
    assert shop_command(made, pointer, "deploy") == f"{packaged} serves all users\n"
    said = shop_command(made, pointer, "deploy", other, "--share", "0.25")
    assert said == f"{other} serves 25.0% of users, {packaged} the others\n"
    table = shop_command(made, pointer, "releases").splitlines()
    assert [line.split("  ")[0] for line in table] == [other, packaged]
    assert "challenger 25%" in table[0]
    assert "champion 75%" in table[1]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=made.root, capture_output=True, text=True).stdout.strip()
    assert all("next.ndcg@10 0." in line and f"git {head[:8]}" in line for line in table)
    assert shop_command(made, pointer, "promote") == f"{other} serves all users\n"
    assert "previous" in shop_command(made, pointer, "releases").splitlines()[1]
    assert shop_command(made, pointer, "rollback") == f"{packaged} serves all users\n"
    now = Pointer.read(pointer)
    assert now.champion.model == artifacts.read_json(made.bento)["model"]
    assert [change.act for change in now.history] == ["deploy", "deploy", "promote", "rollback"]
    with pytest.raises(SettingsError, match="has no previous champion"):
        shop_command(made, pointer, "rollback")
    changes = {record.tag: [change.state for change in record.changes] for record in list_releases(made)}
    assert changes == {packaged: [], other: ["promoted", "rolled back"]}


@pytest.mark.slow
def test_the_share_of_a_challenger_is_that_of_params(
    made: Layout, tags: tuple[str, str], pointer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged, other = tags
    shop_command(made, pointer, "deploy", packaged)
    shop_command(made, pointer, "deploy", other)
    assert Pointer.read(pointer).share == read_settings(made.params).rollout.share == 0.2
    monkeypatch.setenv("TIERREC_STATE", str(pointer.parent))
    said = tierrec("status", folder=made.root)
    assert f"champion: {packaged}\nchallenger: {other}, 20% of users\n" in said


@pytest.mark.slow
def test_a_bento_that_has_not_passed_its_smoke_test_is_never_a_challenger(
    made: Layout, tags: tuple[str, str], pointer: Path, tmp_path: Path
) -> None:
    clone = Layout(tmp_path / "clone")
    shutil.copytree(made.root, clone.root)
    shop_command(clone, pointer, "deploy")
    before = pointer.read_bytes()
    told = artifacts.read_json(clone.bento)
    told["smoke"]["next"]["identical"] -= 1
    artifacts.write_json(told, clone.bento)
    with pytest.raises(GateError, match="has not passed its smoke test: next 19 of 20"):
        shop_command(clone, pointer, "deploy")
    with pytest.raises(ArtifactError, match=f"tierrec:none is not in the store, wanted one of .*{tags[0]}"):
        shop_command(clone, pointer, "deploy", "tierrec:none")
    assert pointer.read_bytes() == before


def test_what_the_store_has_lost_is_built_again_or_told(
    made: Layout, tags: tuple[str, str], pointer: Path, tmp_path: Path
) -> None:
    clone = Layout(tmp_path / "clone")
    shutil.copytree(made.root, clone.root)
    shutil.rmtree(clone.bento_home / "bentos")
    assert shop_command(clone, pointer, "deploy") == f"{tags[0]} serves all users\n"
    assert [line.split("  ")[0] for line in shop_command(clone, pointer, "releases").splitlines()] == [tags[0]]
    shutil.rmtree(clone.bento_home / "bentos")
    assert shop_command(clone, pointer, "releases").endswith("is no longer in the store\n")
    with pytest.raises(ArtifactError, match=f"wanted the Dockerfile of {tags[0]}"):
        shop_command(clone, pointer, "manifests", "--out", str(tmp_path / "out"))


def test_manifests_name_the_champion_and_carry_its_dockerfile(
    made: Layout, tags: tuple[str, str], pointer: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ArtifactError, match="run `tierrec deploy`"):
        shop_command(made, pointer, "manifests", "--out", str(out))
    shop_command(made, pointer, "deploy")
    said = shop_command(made, pointer, "manifests", "--out", str(out), "--namespace", "market")
    assert f"bentoml containerize {tags[0]}" in said
    name, version = tags[0].split(":")
    own = made.bento_home / "bentos" / name / version / "env" / "docker" / "Dockerfile"
    assert (out / "Dockerfile").read_bytes() == own.read_bytes()
    manifests = {path.name: yaml.safe_load(path.read_text()) for path in out.glob("*.yaml")}
    assert len(manifests) == 6
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, "1.37", strict=True)
    shown = json.loads(manifests["configmap.yaml"]["data"]["pointer.json"])
    assert Pointer.model_validate(shown) == Pointer.read(pointer)
    user = manifests["deployment.yaml"]["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert f"ARG BENTO_USER_UID={user}" in own.read_text()
    assert "BENTO_PATH=/home/bentoml/bento" in own.read_text()


@pytest.mark.slow
def test_the_service_image_serves_the_champion_without_the_project(
    made: Layout, tags: tuple[str, str], pointer: Path, tmp_path: Path
) -> None:
    program, *arguments = start_command("service")
    empty, port = tmp_path / "empty", free_port()
    empty.mkdir()
    arguments[arguments.index("--port") + 1] = str(port)
    own = {"BENTOML_HOME": str(made.bento_home), "TIERREC_STATE": str(pointer.parent), "PYTHONPATH": str(ROOT)}
    shop_command(made, pointer, "deploy", tags[0])
    shop_command(made, pointer, "keys", "add", "shop", "--scope", "read")
    with process(str(BIN / program), *arguments, folder=empty, log=tmp_path / "log", env=ENV | own) as started:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/livez") or started.poll() is not None, "service")
        assert started.poll() is None, (tmp_path / "log").read_text()
        wait_until(lambda: f"{tags[0]} serves at" in (tmp_path / "log").read_text(), "its first line")


def test_the_service_image_says_what_it_lacks(
    made: Layout, pointer: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = start_command("service")[3:]
    monkeypatch.delenv("BENTOML_HOME", raising=False)
    assert release_server.main(arguments) == 2
    assert "error: BENTOML_HOME: is not set, wanted a folder" in capsys.readouterr().err
    monkeypatch.setenv("BENTOML_HOME", str(made.bento_home))
    monkeypatch.setenv("TIERREC_STATE", str(pointer.parent))
    assert release_server.main(arguments) == 2
    assert "pointer.json: is missing, wanted a pointer to a champion" in capsys.readouterr().err
    shop_command(made, pointer, "deploy")
    assert release_server.main(arguments) == 2
    assert "no API key is configured, and 0.0.0.0 can be reached" in capsys.readouterr().err


def test_keys_are_shown_once_rotated_and_revoked(made: Layout, pointer: Path) -> None:
    shown = shop_command(made, pointer, "keys", "add", "shop", "--scope", "read", "--scope", "write", "--days", "9")
    token = shown.split()[0]
    path = pointer.parent / "keys.json"
    principal = Keyring.read(path).authenticate(f"Bearer {token}")
    assert principal is not None
    assert principal.scopes == {"read", "write"}
    listed = shop_command(made, pointer, "keys", "list")
    assert listed.startswith(f"{principal.key_id}  shop  ")
    assert token.split("_", 2)[2] not in listed
    rotated = shop_command(made, pointer, "keys", "rotate", "shop")
    assert f"tierrec keys revoke {principal.key_id}" in rotated
    assert "is revoked" in shop_command(made, pointer, "keys", "revoke", principal.key_id)
    assert Keyring.read(path).authenticate(f"Bearer {token}") is None
    (last,) = Keyring.read(path).keys
    assert "this machine only" in shop_command(made, pointer, "keys", "revoke", last)
    with pytest.raises(SettingsError, match="wrte"):
        shop_command(made, pointer, "keys", "add", "shop", "--scope", "wrte")
