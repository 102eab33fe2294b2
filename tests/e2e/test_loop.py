"""Interests move, the loop notices, retrains once, and what passes the gate takes over: real flows, a real project."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from services.releases.pointer import Pointer
from services.store import Impression, Store
from tests.support.drifting_shop import drifting_shop, tell
from tests.support.prefect_workers import Server, prefect_server
from tests.support.process_faults import RETRAIN
from tests.support.projects import command


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion that answers, and a store with the four weeks after its training."""
    folder = tmp_path_factory.mktemp("loop") / "shop"
    later = drifting_shop(folder, gate={"margin": 0.03})
    tell(folder, later)
    show(folder, later)
    return folder


def show(folder: Path, later: pd.DataFrame) -> None:
    """Each user was shown the champion's list a week after its training, as the service notes it down."""
    version = pointer(folder).champion.model.partition(":")[2]
    at = later["timestamp"].min().to_pydatetime().astimezone(UTC) + timedelta(days=7)
    items = tuple(later["item_id"].value_counts().index[:10])
    store = Store.open(f"sqlite:///{folder / 'data/serving/feedback.db'}")
    store.add_impressions(
        [
            Impression(
                request_id=f"shown-{user}",
                user_id=user,
                surface="products",
                items=items,
                path="blend",
                model_version=version,
                at=at,
            )
            for user in later["user_id"].unique()
        ]
    )
    store.close()


def ask(folder: Path, server: Server, decision: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """The flow as the automation starts it."""
    return command(folder, "python", "-c", RETRAIN, json.dumps(decision), timeout=600, env=server.env)


def monitor(folder: Path, server: Server) -> subprocess.CompletedProcess[str]:
    return command(folder, "tierrec", "monitor", env=server.env)


def pointer(folder: Path) -> Pointer:
    return Pointer.read(folder / "data/serving/pointer.json")


def decisions(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((folder / "data/loop/decisions").glob("*.json"))]


@pytest.fixture(scope="module")
def judged(shop: Path, server: Server) -> dict[str, Any]:
    looked = monitor(shop, server)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    (one,) = decisions(shop)
    return one


def test_moved_interests_are_noticed_with_reasons_and_a_page(shop: Path, judged: dict[str, Any]) -> None:
    assert (judged["state"], judged["act"]) == ("drift", "retrain")
    assert any(one["alarm"] for one in judged["findings"])
    assert judged["faults"] == []
    page = shop / "data/loop" / judged["page"]
    assert "<html" in page.read_text().lower()
    assert "Champion's lists: the first list of each of" in page.read_text()
    figures = json.loads((page.parent / "drift.json").read_text())["metrics"]
    drawn = {one["metric_name"].partition("(")[0] for one in figures}
    assert {"NDCG", "RecallTopK", "HitRate", "PopularityBiasMetric", "Diversity"} <= drawn
    history = (shop / "data/loop/index.html").read_text()
    assert judged["window"]["end"] in history
    assert judged["page"] in history


@pytest.mark.slow
def test_a_window_is_judged_once(shop: Path, server: Server, judged: dict[str, Any]) -> None:
    again = monitor(shop, server)
    assert again.returncode == 0, again.stderr
    assert [one["key"] for one in decisions(shop)] == [judged["key"]]


@pytest.mark.slow
def test_nothing_is_retrained_while_a_person_holds_the_loop(shop: Path, server: Server, judged: dict[str, Any]) -> None:
    before = pointer(shop)
    command(shop, "tierrec", "hold", "--reason", "stocktaking").check_returncode()
    refused = ask(shop, server, judged)
    command(shop, "tierrec", "hold", "--off").check_returncode()
    assert refused.returncode != 0
    assert "stocktaking" in refused.stderr + refused.stdout
    assert pointer(shop) == before


def test_an_alarm_that_fires_twice_is_one_retrain_and_its_model_takes_over(
    shop: Path, server: Server, judged: dict[str, Any]
) -> None:
    before = pointer(shop)
    first = ask(shop, server, judged)
    assert first.returncode == 0, first.stdout + first.stderr
    after = pointer(shop)
    assert after.champion.bento != before.champion.bento
    report = json.loads((shop / "data/loop/gates" / f"{judged['key']}.json").read_text())
    assert report["passed"]
    releases = [json.loads(path.read_text()) for path in (shop / "data/loop/releases").glob("*.json")]
    revisions = {release["tag"]: release["revision"] for release in releases}
    assert set(revisions) == {before.champion.bento, after.champion.bento}
    assert revisions[after.champion.bento]
    second = ask(shop, server, judged)
    assert second.returncode == 0, second.stderr
    assert "deployed" in second.stdout
    assert pointer(shop) == after
    assert len(list((shop / "data/runs").glob("*.json"))) == 1  # `tierrec run` alone has run


@pytest.mark.slow
def test_the_new_champion_finds_nothing_new_in_the_window_it_was_trained_for(shop: Path, server: Server) -> None:
    looked = monitor(shop, server)
    assert looked.returncode == 0, looked.stderr
    newest = max(decisions(shop), key=lambda one: one["at"])
    assert newest["model"] == pointer(shop).champion.model
    assert newest["act"] in ("none", "wait")
