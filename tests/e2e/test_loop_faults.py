"""A retrain is killed in every phase, meets a full disk and a second one: it ends once, and nothing is done twice."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.graph.dvc_graph import find_stale_stages
from flows.project.lock import project_lock
from flows.project.params import set_values
from services.releases.pointer import Pointer
from services.shared_files import exclusive
from tests.e2e.test_loop import decisions, pointer
from tests.support.drifting_shop import drifting_shop, tell
from tests.support.prefect_workers import Server, prefect_server, wait_until
from tests.support.process_faults import MONITOR, Flow, Stages, opened, retrain

pytestmark = pytest.mark.slow

NEVER = {"max_latency_ratio": 1e-9}
ALWAYS = {"margin": 1, "tier_margin": 1, "task_margin": 1, "max_coverage_loss": 1, "max_calibration_error": 1}
FILES = ("params.yaml", "dvc.lock", "data/evaluation/metrics.json")
INGEST, EASE, PACKAGE = "-m tierrec_core ingest", "-m tierrec_core train ease", "-m services package"
BESIDE_EASE = ("churn", "campaigns", "train@popularity", "train@tifu_knn", "reference")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion whose challenger would be refused, and a store with the four weeks after its training."""
    folder = tmp_path_factory.mktemp("faults") / "shop"
    later = drifting_shop(folder, gate=ALWAYS | NEVER)
    tell(folder, later)
    return folder


@pytest.fixture(scope="module")
def stages(shop: Path) -> Stages:
    return Stages(shop)


@pytest.fixture(scope="module")
def judged(shop: Path, server: Server) -> dict[str, Any]:
    """The decision of a monitor whose store was away when it began."""
    store, away = shop / "data/serving/feedback.db", shop / "data/serving/away.db"
    store.rename(away)
    store.mkdir()
    with Flow(shop, server, MONITOR) as flow:
        wait_until(lambda: [one.state_name for one in server.runs("monitor")] == ["AwaitingRetry"], "a retry")
        assert decisions(shop) == []
        store.rmdir()
        away.rename(store)
        assert flow.end() == 0, flow.said
    (one,) = decisions(shop)
    return one


@pytest.fixture(scope="module")
def before(shop: Path) -> dict[str, bytes]:
    return tree(shop)


def tree(shop: Path) -> dict[str, bytes]:
    """What a retrain changes and DVC does not keep."""
    feedback = sorted(str(path.relative_to(shop)) for path in (shop / "data/feedback").iterdir())
    return {name: (shop / name).read_bytes() for name in (*FILES, *feedback)}


def record(shop: Path, decision: dict[str, Any]) -> dict[str, Any]:
    return json.loads((shop / f"data/loop/retrains/{decision['key']}.json").read_text())


def assert_killed_for_good(flow: Flow, shop: Path, stages: Stages) -> None:
    """No process of it is left, so none writes; the project's files can be read."""
    flow.kill()
    assert flow.left_behind(30) == []
    for name in ("params.yaml", "dvc.lock"):
        assert yaml.safe_load((shop / name).read_text())


def has_done(flow: Flow, *names: str) -> bool:
    assert flow.process.poll() is None, flow.said
    return all(f"{name}: done" in flow.said for name in names)


def test_a_monitor_whose_store_is_away_tries_again_and_then_decides(judged: dict[str, Any]) -> None:
    assert (judged["state"], judged["act"]) == ("drift", "retrain")
    assert judged["window"]["end"] == "2024-06-27", "of 180 days, without the newest, which may not be whole"


@pytest.fixture(scope="module")
def full(shop: Path, server: Server, stages: Stages, judged: dict[str, Any], before: dict[str, bytes]) -> Flow:
    with stages.full_for(INGEST), retrain(shop, server, judged) as flow:
        assert flow.end() == 1
    return flow


def test_a_full_disk_is_told_and_leaves_what_was_before(
    shop: Path, full: Flow, judged: dict[str, Any], before: dict[str, bytes]
) -> None:
    said = record(shop, judged)
    assert said["state"] == "failed"
    assert "ingest: " in said["error"]
    assert "cannot be written" in said["error"]
    assert tree(shop) == before


@pytest.fixture(scope="module")
def killed_training(shop: Path, server: Server, stages: Stages, full: Flow, judged: dict[str, Any]) -> list[str]:
    """Killed while one stage goes on and all others that can be are done."""
    with stages.held(EASE), retrain(shop, server, judged) as flow:
        wait_until(lambda: has_done(flow, *BESIDE_EASE) and stages.ticks.exists(), "all other stages", 300)
        assert_killed_for_good(flow, shop, stages)
        ticks, journal = stages.ticks.read_text(), stages.journal
    assert record(shop, judged)["state"] == "training"
    (shop / ".dvc/tmp/rwlock").write_text('{"write": {"/a')  # as a kill leaves it that comes while DVC writes it
    assert (stages.ticks.read_text(), stages.journal) == (ticks, journal)
    return journal


@pytest.fixture(scope="module")
def killed_before_gate(
    shop: Path, server: Server, stages: Stages, killed_training: list[str], judged: dict[str, Any]
) -> None:
    with retrain(shop, server, judged) as flow:
        wait_until(lambda: has_done(flow, "evaluate"), "the last stage", 300)
        assert_killed_for_good(flow, shop, stages)
    assert record(shop, judged)["state"] == "training"
    assert not (shop / "data/loop/gates").exists()


@pytest.fixture(scope="module")
def killed_in_gate(
    shop: Path, server: Server, stages: Stages, killed_before_gate: None, judged: dict[str, Any]
) -> None:
    """Only the gate reads the champion's models."""
    journal = stages.journal
    with opened(shop / ".bentoml/models") as files, retrain(shop, server, judged) as flow:
        wait_until(lambda: files, "the gate")
        assert_killed_for_good(flow, shop, stages)
    assert record(shop, judged)["state"] == "training"
    assert not (shop / "data/loop/gates").exists()
    assert stages.journal == journal


@pytest.fixture(scope="module")
def rejected(shop: Path, server: Server, stages: Stages, killed_in_gate: None, judged: dict[str, Any]) -> str:
    with retrain(shop, server, judged) as flow:
        assert flow.end() == 0, flow.said
    return flow.said


def test_a_retrain_that_was_killed_in_every_phase_is_refused_and_leaves_what_was_before(
    shop: Path, rejected: str, judged: dict[str, Any], before: dict[str, bytes]
) -> None:
    assert record(shop, judged)["state"] == "rejected"
    assert "latency" in record(shop, judged)["error"]
    assert tree(shop) == before
    assert find_stale_stages(shop) == set()
    assert list((shop / "data/loop/retrains").iterdir()) == [shop / f"data/loop/retrains/{judged['key']}.json"]
    assert pointer(shop).challenger is None


@pytest.fixture(scope="module")
def again(judged: dict[str, Any], shop: Path, rejected: str) -> dict[str, Any]:
    """Another decision for the same data, after a person has mended the gate."""
    set_values(shop / "params.yaml", ["gate.max_latency_ratio=1000000"])
    return judged | {"key": "again"}


@pytest.fixture(scope="module")
def killed_packaging(shop: Path, server: Server, stages: Stages, again: dict[str, Any]) -> None:
    with retrain(shop, server, again) as flow:
        wait_until(lambda: f"began {PACKAGE}" in stages.journal or flow.process.poll() is not None, "package", 300)
        assert_killed_for_good(flow, shop, stages)
    assert record(shop, again)["state"] == "training"


@pytest.fixture(scope="module")
def killed_packaged(
    shop: Path, server: Server, stages: Stages, killed_packaging: None, again: dict[str, Any]
) -> Pointer:
    """Killed before it is deployed: that waits while somebody else changes the pointer."""
    with exclusive(shop / "data/serving/pointer.json"), retrain(shop, server, again) as flow:
        is_packaged = lambda: record(shop, again)["state"] == "packaged"  # noqa: E731
        wait_until(lambda: is_packaged() or flow.process.poll() is not None, "package", 300)
        assert is_packaged(), flow.said
        assert_killed_for_good(flow, shop, stages)
        now = pointer(shop)
    assert now.challenger is None
    return now


@pytest.fixture(scope="module")
def released(shop: Path, server: Server, killed_packaged: Pointer, again: dict[str, Any]) -> Pointer:
    """By two that have waited side by side while somebody else changed the project."""
    with retrain(shop, server, again) as first, retrain(shop, server, again) as second:
        waits = "retrain again: waits for a person (pid "
        with project_lock(shop, "a person"):
            wait_until(lambda: waits in first.said and waits in second.said, "both")
        assert (first.end(), second.end()) == (0, 0), first.said + second.said
        assert all("again: deployed" in one.said for one in (first, second))
    return pointer(shop)


def test_of_two_retrains_at_once_after_two_kills_comes_one_release(
    shop: Path, released: Pointer, killed_packaged: Pointer, again: dict[str, Any]
) -> None:
    assert released.revision == killed_packaged.revision + 2, "deployed once, promoted once"
    assert released.champion.bento == record(shop, again)["challenger"] != killed_packaged.champion.bento
    records = [json.loads(path.read_text()) for path in (shop / "data/loop/releases").glob("*.json")]
    (release,) = (one for one in records if one["tag"] != killed_packaged.champion.bento)
    assert (release["tag"], release["state"], release["stale"]) == (released.champion.bento, "promoted", [])
    assert [one["state"] for one in release["changes"]] == ["promoted"]
    assert find_stale_stages(shop) == set()


def test_no_stage_that_had_finished_ran_again(stages: Stages, released: Pointer) -> None:
    """Over all kills, the refusal and the second decision, which took what the refused one had made."""
    done = stages.done()
    assert done.pop(PACKAGE) >= 1
    assert len(done) > 10
    assert set(done.values()) == {1}, done
