"""From an evaluated project to a Bento that serves on loopback."""

import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
from ruamel.yaml import YAML

from services.__main__ import main
from services.deployment.build import build_bento, ensure_bento
from services.deployment.contents import BentoContents
from services.deployment.server import bento_to_serve, free_port, is_free, run_server, running_server
from services.releases.pointer import Deployed, Pointer
from tests.support.api_keys import HEADER, allow_all
from tests.support.packaged_project import packaged_project, ranked_lists
from tests.support.prefect_workers import answers, wait_until
from tests.support.projects import ENV
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, SettingsError, StageError
from tierrec_core.base.paths import Layout
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.settings import Settings, read_settings

TLS = httpx.create_ssl_context()  # made once: that takes longer than a request
SERVE = """
import sys
from pathlib import Path
from services.deployment.server import run_server
from tierrec_core.base.paths import Layout
run_server(Layout(Path.cwd()), int(sys.argv[1]), workers=2)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, items: pd.DataFrame) -> Layout:
    """A project in git whose package stage has run."""
    return packaged_project(tmp_path_factory.mktemp("project"), items)


@pytest.fixture(scope="module")
def settings(made: Layout) -> Settings:
    return read_settings(made.params)


@pytest.fixture
def edited(made: Layout) -> Iterator[Layout]:
    """The project with other code and a damaged params.yaml, which would make no Bento or another one."""
    code = made.root / "services/recommend/request.py"
    before = {path: path.read_text() for path in (code, made.params)}
    code.write_text(before[code] + "\n# edited\n")
    made.params.write_text("models: [")
    yield made
    for path, text in before.items():
        path.write_text(text)


@pytest.fixture(scope="module")
def url(made: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Bento as a live server with two workers and a key."""
    tag, folder = artifacts.read_json(made.bento)["tag"], tmp_path_factory.mktemp("serving")
    allow_all(folder)
    with running_server(made.bento_home, tag, folder=folder, workers=2, quiet=True) as server:
        yield server.url


def package(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the stage as `python -m services package` does, but in this process."""
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stderr(said):
        code = main(["package"])
    return subprocess.CompletedProcess(["package"], code, stderr=said.getvalue())


def post(url: str, body: object) -> httpx.Response:
    """One request on a connection of its own."""
    return httpx.post(url, json=body, headers=HEADER, timeout=60, verify=TLS)


def ask(url: str, body: object) -> dict[str, Any]:
    answer = post(f"{url}/recommend", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def listed(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_bento_json_describes_the_build_and_its_test(made: Layout, settings: Settings) -> None:
    report = artifacts.read_json(made.bento)
    contents = BentoContents.gather(made, settings)
    assert report["tag"] == f"tierrec:{contents.version}"
    assert report["model"] == f"tierrec-bundle:{contents.bundle}"
    assert report["smoke"] == {task: {"users": 20, "identical": 20} for task in ("next", "discovery")}


def test_a_bento_contains_code_requirements_and_labels(made: Layout, settings: Settings) -> None:
    contents = BentoContents.gather(made, settings)
    folder = made.bento_home / "bentos" / "tierrec" / contents.version
    code = {path.relative_to(folder / "src").as_posix() for path in (folder / "src").rglob("*.py")}
    assert code == set(contents.code)
    pins = (folder / "env" / "python" / "requirements.txt").read_text().splitlines()
    assert set(contents.requirements) < set(pins)
    bento = YAML(typ="safe").load((folder / "bento.yaml").read_text())
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=made.root, capture_output=True, text=True)
    assert bento["labels"] == dict(contents.labels) | {"git_revision": head.stdout.strip(), "dvc_lock": "none"}
    assert [model["tag"] for model in bento["models"]] == [contents.release.model]


def test_known_users_get_the_lists_of_the_bundle(made: Layout, url: str) -> None:
    for task in ("next", "discovery"):
        lists = ranked_lists(made.bundle, task)
        for user in list(lists)[::7]:
            assert listed(ask(url, {"user_id": user, "task": task, "k": 20})) == lists[user]


def test_a_visitor_gets_the_list_of_the_bundle(made: Layout, url: str) -> None:
    bundle = Bundle.load(made.bundle)
    history = ["i21", "i05", "i22"]
    ranked = bundle.recommend("next", bundle.visitor(history), 10).items[0]
    answer = ask(url, {"history": history, "explain": True})
    assert listed(answer) == [str(bundle.history.items[column]) for column in ranked]
    assert answer["path"] == "blend"
    assert all(np.isclose(sum(item["reasons"].values()), item["score"], atol=1e-5) for item in answer["items"])


def test_an_unknown_user_and_an_empty_history_get_the_same_list(url: str) -> None:
    bodies = [{"user_id": "nobody"}, {"history": []}, {"history": ["nothing"]}, {}]
    answers = [ask(url, body) for body in bodies]
    assert {answer["path"] for answer in answers} == {"cold"}
    assert len(answers[0]["items"]) == 10
    assert all(listed(answer) == listed(answers[0]) for answer in answers)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"k": 0}, "greater than or equal to 1"),
        ({"k": 101}, "less than or equal to 100"),
        ({"kk": 1}, "Extra inputs are not permitted"),
        ({"user_id": "a", "history": []}, "both given; give one"),
        ({"surface": "walls"}, "'products'"),
        ([], "object"),
    ],
)
def test_an_invalid_field_is_rejected_with_a_reason(url: str, body: object, message: str) -> None:
    answer = httpx.post(f"{url}/recommend", json=body, headers=HEADER)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert message in answer.json()["detail"][0]["msg"]


def test_an_invalid_body_is_rejected_with_a_reason(url: str) -> None:
    headers = HEADER | {"content-type": "application/json"}
    assert httpx.post(f"{url}/recommend", content=b'{"k": ', headers=headers).status_code == 400
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/vnd.bentoml+pickle"):
        answer = httpx.post(f"{url}/recommend", content=b"{}", headers=HEADER | {"content-type": kind})
        assert answer.status_code == 415
        assert "send application/json" in answer.json()["error"]


def test_probes_metrics_and_info(made: Layout, url: str) -> None:
    assert {httpx.get(f"{url}/{probe}").status_code for probe in ("livez", "readyz")} == {200}
    assert httpx.get(f"{url}/healthz/store").json() == {"store": "ok"}
    for method, path, status in (("GET", "/nothing", 404), ("PUT", "/recommend", 405)):
        refused = httpx.request(method, f"{url}{path}", headers=HEADER)
        assert (refused.status_code, set(refused.json())) == (status, {"code", "error", "detail"})
        assert refused.headers["x-request-id"]
    ask(url, {"user_id": "u59"})
    metrics = httpx.get(f"{url}/metrics").text
    assert 'tierrec_requests_total{path="blend",shop="default",status="200",surface="products"}' in metrics
    assert "u59" not in metrics
    info, report = httpx.get(f"{url}/info", headers=HEADER).json(), artifacts.read_json(made.bento)
    assert (info["bento"], info["model"], info["labels"]) == (report["tag"], report["model"], report["labels"])
    page = httpx.get(f"{url}/docs.json").json()
    assert {"/recommend", "/search", "/events", "/users/{user_id}"} <= set(page["paths"])


def test_headers_have_limits(url: str) -> None:
    for sent, status in (({str(number): "" for number in range(200)}, 431), ({"x": "v" * 50_000}, 431)):
        answer = httpx.get(f"{url}/readyz", headers=sent)
        assert (answer.status_code, set(answer.json())) == (status, {"code", "error", "detail"})
    assert httpx.get(f"{url}/{'u' * 9_000}").status_code == 414


def test_workers_share_posted_events(url: str) -> None:
    assert ask(url, {"user_id": "newcomer"})["path"] == "cold"
    for number in range(20):  # each on a connection of its own, and so on either worker
        item = f"i1{number % 10}"
        body = {"key": f"k{number}", "user_id": "newcomer", "item_id": item, "event": "cart"}
        assert post(f"{url}/events", {"events": [body]}).json() == {"accepted": 1, "duplicates": 0}
        answer = ask(url, {"user_id": "newcomer", "k": 40})
        assert (answer["path"], answer["known_user"]) == ("blend", True)
        assert listed(answer)[0].startswith("i1")
    assert httpx.delete(f"{url}/users/newcomer", headers=HEADER).json()["events"] == 20
    assert {ask(url, {"user_id": "newcomer"})["path"] for _ in range(10)} == {"cold"}


def test_concurrent_requests_get_the_same_lists(made: Layout, url: str) -> None:
    lists = ranked_lists(made.bundle, "next")
    users = [*lists, *lists]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda user: ask(url, {"user_id": user, "k": 20}), users))
    assert [listed(answer) for answer in answers] == [lists[user] for user in users]
    assert len({answer["request_id"] for answer in answers}) == len(users)


@pytest.mark.slow
def test_the_same_contents_make_the_same_bytes(made: Layout, url: str) -> None:
    before = made.bento.read_bytes()
    bundle = {path: artifacts.sha256(path) for path in made.bundle.rglob("*") if path.is_file()}
    done = package(made.root)
    assert done.returncode == 0, done.stderr
    assert made.bento.read_bytes() == before
    assert {path: artifacts.sha256(path) for path in made.bundle.rglob("*") if path.is_file()} == bundle
    assert ask(url, {})["items"]  # the server that was running is still there


@pytest.mark.slow
def test_a_damaged_model_does_not_start_and_is_rebuilt(made: Layout, settings: Settings) -> None:
    report = artifacts.read_json(made.bento)
    name, _, version = report["model"].partition(":")
    arrays = made.bento_home / "models" / name / version / "bundle" / "known_users" / "arrays.safetensors"
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 1
    arrays.write_bytes(content)
    with (
        pytest.raises(StageError, match=rf"is damaged: its hash is \w+, wanted {version}"),
        running_server(made.bento_home, report["tag"], quiet=True),
    ):
        pass
    assert ensure_bento(made, settings) == report["tag"]
    with running_server(made.bento_home, report["tag"], quiet=True) as server:
        assert ask(server.url, {})["model_version"] == version


def test_the_champions_bento_serves_or_else_the_packaged_one(edited: Layout, tmp_path: Path) -> None:
    packaged = artifacts.read_json(edited.bento)["tag"]
    assert bento_to_serve(edited, tmp_path) == packaged, "without a champion"
    pointer = tmp_path / "pointer.json"
    pointer.write_text("{")
    assert bento_to_serve(edited, tmp_path) == packaged, "with a damaged pointer"
    champion = Pointer(champion=Deployed(bento="tierrec:older", model="m:1"), changed=datetime.now(UTC))
    pointer.write_text(champion.model_dump_json())
    assert bento_to_serve(edited, tmp_path) == packaged, "with a champion that the store has lost"
    older = edited.bento_home / "bentos/tierrec/older"
    (older / "src").mkdir(parents=True)
    assert bento_to_serve(edited, tmp_path) == "tierrec:older"
    shutil.rmtree(older)


@pytest.mark.slow
def test_a_lost_store_is_rebuilt_from_the_bundle(made: Layout, settings: Settings, tmp_path: Path) -> None:
    clone = Layout(tmp_path / "clone")
    shutil.copytree(made.root, clone.root, ignore=shutil.ignore_patterns(".bentoml"))
    tag = artifacts.read_json(clone.bento)["tag"]
    assert ensure_bento(clone, settings) == tag
    with running_server(clone.bento_home, tag, quiet=True) as server:
        assert ask(server.url, {})["path"] == "cold"
    (clone.bundle / "items.parquet").touch()
    (clone.bundle / "bundle.json").write_text("{}")
    with pytest.raises(ArtifactError, match=f"names {tag}, but .* now make"):
        ensure_bento(clone, settings)
    clone.bento.unlink()
    with pytest.raises(ArtifactError, match=r"bento\.json: is missing"):
        ensure_bento(clone, settings)


@pytest.mark.slow
def test_only_the_newest_bentos_are_kept(made: Layout, settings: Settings, tmp_path: Path) -> None:
    clone = Layout(tmp_path / "clone")
    shutil.copytree(made.root, clone.root)
    old = BentoContents.gather(clone, settings)
    new = replace(old, labels={**old.labels, "more": "1"})
    for keep, wanted in ((2, {old.version, new.version}), (1, {new.version})):
        build_bento(clone, new, keep=keep)
        stored = {path.name for path in (clone.bento_home / "bentos" / "tierrec").iterdir() if path.is_dir()}
        assert stored == wanted


@pytest.mark.slow
def test_a_service_that_lists_otherwise_fails_the_package_stage(made: Layout, tmp_path: Path) -> None:
    clone = Layout(tmp_path / "clone")
    shutil.copytree(made.root, clone.root)
    clone.bento.unlink()
    code = clone.root / "services" / "recommend" / "fallback_chain.py"
    ranked = "columns, scores = model.precomputed.ranked_lists[self.task].row(row)"
    swapped = f"{ranked}\n        columns = columns if row else columns[[1, 0, *range(2, len(columns))]]"
    assert ranked in code.read_text()
    code.write_text(code.read_text().replace(ranked, swapped))
    done = package(clone.root)
    assert done.returncode == 2
    assert "error: package: discovery: 1 of 20 served lists are not those of the bundle" in done.stderr
    assert "user 'u00' rank 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not clone.bento.exists()


@pytest.mark.parametrize(
    ("end", "code"), [pytest.param(signal.SIGTERM, 0, marks=pytest.mark.slow), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_serve_leaves_no_process_behind(edited: Layout, end: signal.Signals, code: int) -> None:
    made, port = edited, free_port()
    command = [sys.executable, "-c", SERVE, str(port)]
    with subprocess.Popen(command, cwd=made.root, env=ENV, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        example = next(line for line in process.stdout if line.strip().startswith("curl "))
        assert ask(f"http://127.0.0.1:{port}", json.loads(example.split("'")[-2]))["items"]
        family = psutil.Process(process.pid).children(recursive=True)
        next(child for child in family if "spawn_main" in " ".join(child.cmdline())).kill()
        assert all(ask(f"http://127.0.0.1:{port}", {})["items"] for _ in range(5)), "the other worker answers"
        with pytest.raises(SettingsError, match=f"serve: port {port} is in use"):
            run_server(made, port)
        process.send_signal(end)
        process.communicate(timeout=60)
    assert process.returncode == code
    assert family
    assert not psutil.wait_procs(family, timeout=10)[1]
    wait_until(lambda: is_free(port), "the end of the worker that replaces the killed one")


@pytest.mark.slow
def test_bentoml_serves_the_same_bento(made: Layout) -> None:
    tag, port = artifacts.read_json(made.bento)["tag"], free_port()
    command = [sys.executable, "-m", "bentoml", "serve", tag, "--port", str(port)]
    environment = ENV | {"BENTOML_HOME": str(made.bento_home), "BENTOML_DO_NOT_TRACK": "True"}
    with subprocess.Popen(command, cwd=made.bento_home, env=environment, stdout=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(f"{url}/readyz"), "bentoml serve")
            lists = ranked_lists(made.bundle, "next")
            user = next(iter(lists))
            assert listed(ask(url, {"user_id": user, "k": 20})) == lists[user]
        finally:
            process.terminate()
