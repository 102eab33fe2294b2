"""What every deployment target owes: compare-and-set, releases before the pointer, and errors that say what to do."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.releases import pointer as pointers
from services.releases.manifest import SmokeReport
from services.releases.pointer import Deployed, Pointer, PointerConflictError
from services.targets.follow import fetch_once, follow
from services.targets.kubernetes import KubernetesTarget
from services.targets.object_storage import ObjectStorageTarget
from services.targets.release_files import release_folders
from services.targets.target import DeploymentTarget, find_target
from tests.support.kubernetes_api import CONFIGMAPS, DEPLOYMENT, KubernetesApi, kubernetes_api
from tests.support.prefect_workers import s3, wait_until
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import KubernetesDeploySettings, LocalDeploySettings, ObjectStorageDeploySettings

MakeTarget = Callable[[], DeploymentTarget]
POINTER = f"{CONFIGMAPS}/tierrec-pointer"


def report(version: int) -> SmokeReport:
    smoke = {"next": {"users": 1, "identical": 1}}
    return SmokeReport.model_validate({"tag": f"shop:{version}", "model": f"shop-bundle:{version}", "smoke": smoke})


def released(version: int) -> Deployed:
    return Deployed(bento=f"shop:{version}", model=f"shop-bundle:{version}")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A Bento store with three releases."""
    for version in range(1, 4):
        for folder in release_folders(released(version)):
            (tmp_path / "store" / folder / "bundle").mkdir(parents=True)
            (tmp_path / "store" / folder / "bundle" / "weights").write_text(f"{folder}")
    return tmp_path / "store"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serving" / "pointer.json"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    with kubernetes_api(tmp_path) as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig))
        yield running


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket."""
    import boto3

    for name, value in {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"b{abs(hash(tmp_path)):x}"[:40]
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}/shops/north"


@pytest.fixture(params=["kubernetes", "s3"])
def make(request: pytest.FixtureRequest, store: Path, tmp_path: Path) -> MakeTarget:
    """Makes a target as each process has its own."""
    if request.param == "kubernetes":
        request.getfixturevalue("api")
        (tmp_path / "volume").mkdir()
        settings = KubernetesDeploySettings(target="kubernetes", namespace="shop", releases=str(tmp_path / "volume"))
        return lambda: KubernetesTarget(settings, store)
    url = request.getfixturevalue("bucket")
    return lambda: ObjectStorageTarget(url, store)


def test_each_change_reaches_the_target_and_the_file_is_its_copy(make: MakeTarget, path: Path) -> None:
    assert make().read() is None
    pointers.deploy(path, report(1), 0.1, target=make())
    pointers.deploy(path, report(2), 0.3, target=make())
    assert make().read() == Pointer.read(path)
    assert Pointer.read(path).share == 0.3
    pointers.promote(path, target=make())
    pointers.rollback(path, target=make())
    path.write_text("{")
    pointers.copy_pointer(path, make())
    assert make().read() == Pointer.read(path), "a damaged copy is replaced"
    assert [change.act for change in Pointer.read(path).history] == ["deploy", "deploy", "promote", "rollback"]


def test_of_two_who_read_the_same_pointer_one_changes_it(make: MakeTarget, path: Path) -> None:
    pointers.deploy(path, report(1), 0.1, target=make())
    first, second = make(), make()
    before = first.read()
    assert before == second.read()
    assert before is not None
    first.write(before.model_copy(update={"revision": 2}))
    with pytest.raises(PointerConflictError, match=r"changed the pointer meanwhile; nothing was done: see `tierrec"):
        second.write(before.model_copy(update={"revision": 3}))
    changed = make().read()
    assert changed is not None
    assert changed.revision == 2


def test_of_two_who_found_no_pointer_one_creates_it(make: MakeTarget, path: Path, tmp_path: Path) -> None:
    first, second = make(), make()
    assert first.read() is second.read() is None
    pointer = pointers.deploy(path, report(1), 0.1)
    first.write(pointer)
    with pytest.raises(PointerConflictError):
        second.write(pointer)


def test_a_change_by_another_machine_refuses_what_was_decided_before(
    make: MakeTarget, path: Path, tmp_path: Path
) -> None:
    pointers.deploy(path, report(1), 0.1, target=make())
    seen = Pointer.read(path).revision
    pointers.deploy(tmp_path / "elsewhere" / "pointer.json", report(2), 0.5, target=make())
    with pytest.raises(PointerConflictError, match=r"from revision 1 to 2: deploy at .* challenger shop:2"):
        pointers.deploy(path, report(3), 0.1, seen=seen, target=make())
    now = Pointer.read(path)
    assert now == make().read(), "the file is a copy of what the servers see"
    assert now.challenger == released(2)


def test_no_pointer_names_what_the_servers_lack(make: MakeTarget, path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"models/shop-bundle/4: is missing, wanted the files of shop:4"):
        pointers.deploy(path, report(4), 0.1, target=make())
    assert make().read() is None
    assert not path.exists()


def test_pods_find_each_release_in_their_volume_before_the_pointer(
    api: KubernetesApi, store: Path, path: Path, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    settings = KubernetesDeploySettings(target="kubernetes", namespace="shop", releases=str(volume))
    with pytest.raises(ArtifactError, match="volume: is missing, wanted the servers' folder of releases; mount it"):
        pointers.deploy(path, report(1), 0.1, target=KubernetesTarget(settings, store))
    volume.mkdir()
    for version in (1, 2):
        pointers.deploy(path, report(version), 0.1, target=KubernetesTarget(settings, store))
    files = {file.relative_to(volume).as_posix() for file in volume.rglob("*") if file.is_file()}
    assert files == {f"{folder}/bundle/weights" for n in (1, 2) for folder in release_folders(released(n))}
    assert Pointer.model_validate_json(api.objects[POINTER]["data"]["pointer.json"]).challenger == released(2)
    assert [method for method, place in api.requests if place.startswith(CONFIGMAPS) and method != "GET"] == [
        "POST",
        "PATCH",
    ]


def test_the_rollout_of_pods_is_read_back(api: KubernetesApi, store: Path) -> None:
    target = KubernetesTarget(KubernetesDeploySettings(target="kubernetes", namespace="shop"), store)
    assert "Deployment shop/tierrec is missing; apply" in target.status()
    labels = {"app.kubernetes.io/name": "tierrec"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "recommender", "image": "shop:1"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": pod}
    status = {"readyReplicas": 2, "updatedReplicas": 3}
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "tierrec"}}
    api.put(DEPLOYMENT, manifest | {"spec": spec, "status": status})
    assert target.status() == "Deployment shop/tierrec: 2 of 3 pods ready, 3 up to date"


def test_a_configmap_that_was_broken_by_hand_is_named(api: KubernetesApi, store: Path) -> None:
    target = KubernetesTarget(KubernetesDeploySettings(target="kubernetes", namespace="shop"), store)
    metadata = {"name": "tierrec-pointer"}
    api.put(POINTER, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"pointer.json": "{"}})
    with pytest.raises(SettingsError, match="ConfigMap tierrec-pointer: is not JSON"):
        target.read()


def test_a_server_follows_object_storage(bucket: str, store: Path, path: Path, tmp_path: Path) -> None:
    server = tmp_path / "server"
    follower = ObjectStorageTarget(bucket, server)
    assert not fetch_once(follower, server)
    for version in (1, 2):
        pointers.deploy(path, report(version), 0.1, target=ObjectStorageTarget(bucket, store))
    assert fetch_once(follower, server)
    assert Pointer.read(server / "pointer.json") == Pointer.read(path)
    for version in (1, 2):
        for folder in release_folders(released(version)):
            assert (server / folder / "bundle" / "weights").read_text() == folder
    assert not fetch_once(follower, server), "nothing has changed"
    pointers.rollback(path, target=ObjectStorageTarget(bucket, store))
    assert fetch_once(follower, server)
    assert Pointer.read(server / "pointer.json").challenger is None


def test_a_follower_runs_on_after_a_failure(
    bucket: str, store: Path, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, stopped = tmp_path / "server", threading.Event()
    pointers.deploy(path, report(1), 0.1, target=ObjectStorageTarget(bucket, store))
    (tmp_path / "server").write_text("a file where the folder belongs")
    follower = threading.Thread(target=follow, args=(bucket, server, stopped, 0.05))
    follower.start()
    try:
        wait_until(lambda: "ERROR" in caplog.text, "failure")
        server.unlink()
        wait_until((server / "pointer.json").exists, "pointer")
    finally:
        stopped.set()
        follower.join()
    assert Pointer.read(server / "pointer.json") == Pointer.read(path)


def test_an_incomplete_upload_is_not_fetched_and_the_old_pointer_stays(
    bucket: str, store: Path, path: Path, tmp_path: Path
) -> None:
    server, target = tmp_path / "server", ObjectStorageTarget(bucket, store)
    pointers.deploy(path, report(1), 0.1, target=target)
    assert fetch_once(ObjectStorageTarget(bucket, server), server)
    pointers.deploy(path, report(2), 0.1, target=target)
    target._client.delete_object(Bucket=target._bucket, Key="shops/north/folders/models/shop-bundle/2.json")
    with pytest.raises(ArtifactError, match="models/shop-bundle/2: is missing or incomplete; deploy shop:2 again"):
        fetch_once(ObjectStorageTarget(bucket, server), server)
    assert Pointer.read(server / "pointer.json").challenger is None


def test_storage_that_does_not_answer_leaves_the_file(bucket: str, store: Path, path: Path) -> None:
    pointers.deploy(path, report(1), 0.1, target=ObjectStorageTarget(bucket, store))
    before = path.read_bytes()
    lost = ObjectStorageTarget("s3://no-such-bucket/shop", store)
    with pytest.raises(
        ArtifactError, match=r"s3://no-such-bucket/shop: read of the pointer was refused .*NoSuchBucket"
    ):
        pointers.deploy(path, report(2), 0.1, target=lost)
    assert path.read_bytes() == before


def test_the_setting_names_the_target(api: KubernetesApi, bucket: str, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert find_target(layout, LocalDeploySettings()) is None
    kubernetes = find_target(layout, KubernetesDeploySettings(target="kubernetes"))
    storage = find_target(layout, ObjectStorageDeploySettings(target="s3", url=bucket))
    assert (type(kubernetes), type(storage)) == (KubernetesTarget, ObjectStorageTarget)
