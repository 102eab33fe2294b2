"""The whole graph on a made world, by the command that a user types; what comes out is checked from outside."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.support.drifting_shop import copy_shop
from tests.support.projects import command
from tierrec_core.bundle.bundle import Bundle, load_evaluated
from tierrec_core.data.interactions import from_days


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline") / "shop"
    copy_shop(folder)
    return folder


def metrics(project: Path) -> dict[str, Any]:
    return json.loads((project / "data/evaluation/metrics.json").read_text())


def lock(project: Path) -> dict[str, Any]:
    return YAML(typ="safe").load((project / "dvc.lock").read_text())


def ndcg(lists: pd.DataFrame, truth: pd.DataFrame, k: int) -> float:
    """The mean over users with a truth, by counting."""
    scores = []
    for user, wanted in truth.groupby("user_id")["item_id"]:
        mine = lists[(lists["user_id"] == user) & (lists["rank"] <= k)]
        gain = sum(
            1 / np.log2(rank + 1)
            for rank, item in zip(mine["rank"], mine["item_id"], strict=True)
            if item in set(wanted)
        )
        scores.append(gain / sum(1 / np.log2(place + 2) for place in range(min(k, len(wanted)))))
    return float(np.mean(scores))


def test_the_run_ends_with_a_leaderboard_and_what_to_do_next(project: Path) -> None:
    said = (project / "data" / "said.txt").read_text()
    assert "Traceback" not in said
    for word in ("blend", "tifu_knn", "heavy", "data/report/index.html", "tierrec serve"):
        assert word in said, said[-3000:]
    for task in ("next", "discovery"):
        users = metrics(project)[task]["blend"]["users"]
        assert f"Task {task} ({users} users)" in said
        assert (f"Task {task}: {users} users are few to judge by" in said) is (users < 200)


def test_nothing_is_stale_afterwards_and_a_second_run_does_nothing(project: Path) -> None:
    status = command(project, "dvc", "status")
    assert status.stdout.split() == ["source:", "always", "changed"], status.stdout  # it looks at the files each time
    assert "stale: nothing" in command(project, "tierrec", "status").stdout
    before = (project / "dvc.lock").read_bytes()
    again = command(project, "tierrec", "run")
    assert again.returncode == 0
    assert (project / "dvc.lock").read_bytes() == before


@pytest.mark.parametrize("task", ["next", "discovery"])
def test_metrics_are_those_of_the_written_lists(project: Path, task: str) -> None:
    truth = pd.read_parquet(project / f"data/evaluation/truth/{task}.parquet")
    for model, found in metrics(project)[task].items():
        lists = pd.read_parquet(project / f"data/evaluation/lists/{task}/{model}.parquet")
        assert not lists.duplicated(["user_id", "item_id"]).any()
        assert not lists.duplicated(["user_id", "rank"]).any()
        assert ndcg(lists, truth, 10) == pytest.approx(found["ndcg@10"], abs=1e-6)


def test_the_truth_lies_after_the_cut_and_discovery_is_new(project: Path) -> None:
    events = pd.read_parquet(project / "data/prepared/events.parquet")
    cut = events["timestamp"].quantile(0.8).floor("D")
    known = events[events["timestamp"] < cut]
    later = events[(events["timestamp"] >= cut) & (events["event"] == "purchase")]
    for task, column in (("next", later), ("discovery", later)):
        truth = pd.read_parquet(project / f"data/evaluation/truth/{task}.parquet")
        pairs = set(map(tuple, truth[["user_id", "item_id"]].to_numpy()))
        assert pairs <= set(map(tuple, column[["user_id", "item_id"]].to_numpy()))
        if task == "discovery":
            assert not pairs & set(map(tuple, known[["user_id", "item_id"]].to_numpy()))


def test_models_that_know_the_user_beat_popularity(project: Path) -> None:
    board = metrics(project)["next"]
    assert board["blend"]["ndcg@10"] > 1.2 * board["popularity"]["ndcg@10"]
    assert board["tifu_knn"]["ndcg@10"] > 1.2 * board["popularity"]["ndcg@10"]


def test_what_is_served_is_fitted_to_the_whole_log_and_what_is_evaluated_to_the_part_before_the_cut(
    project: Path,
) -> None:
    events = pd.read_parquet(project / "data/prepared/events.parquet")
    events = events[events["event"] != "impression"]
    packaged = project / "data/package/bundle"
    served, evaluated = Bundle.load(packaged), load_evaluated(packaged)
    kept = events["item_id"].isin(served.history.items) & events["user_id"].isin(served.history.users)
    assert len(served.history) == kept.sum() > 0.9 * len(events)
    assert from_days(served.history.now) >= events["timestamp"].max()
    assert from_days(evaluated.history.now) == events["timestamp"].max().floor("D") - pd.Timedelta(days=13)
    assert served.kinds == evaluated.kinds
    for task in served.tasks:
        trees = [bundle.blends[task].trees for bundle in (served, evaluated)]
        assert trees[0] == trees[1], "the ranker is the one that was evaluated"
        user = served.history.users[0]
        fresh = served.recommend(task, served.history_of(user), 10).items[0]
        assert (fresh >= 0).all()
    popular = events.loc[events["timestamp"] > events["timestamp"].max() - pd.Timedelta(days=14), "item_id"]
    share = served.models["popularity"].score_catalogue(served.history.select_users(np.array([0])))[0]
    assert served.history.items[share.argmax()] in set(popular.value_counts().head(3).index)


def test_the_bento_served_the_bundles_lists(project: Path) -> None:
    smoke = json.loads((project / "data/package/bento.json").read_text())["smoke"]
    for task in ("next", "discovery"):
        assert smoke[task]["identical"] == smoke[task]["users"] > 0


@pytest.mark.slow
def test_one_models_params_make_only_its_fit_and_what_hangs_on_it_stale(project: Path) -> None:
    before = lock(project)["stages"]
    ran = command(project, "tierrec", "run", "--set", "models.ease.l2=50", timeout=600)
    assert ran.returncode == 0, ran.stderr
    after = lock(project)["stages"]
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"train@ease", "retrieve", "blend", "evaluate", "report", "package"}
    assert {"train@ease", "retrieve"} <= changed


@pytest.mark.slow
def test_plain_dvc_gives_the_same_lock(project: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    subprocess.run(["git", "clone", "--quiet", project, plain], check=True)
    shutil.copy(project / "params.yaml", plain)
    ran = command(plain, "dvc", "repro", timeout=900)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert lock(plain) == lock(project)
