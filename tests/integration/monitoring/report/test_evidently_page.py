"""Evidently's page of a window and its workspace, against scipy, the core's metrics and a real `evidently ui`."""

import html
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from monitoring.report.evidently_page import EvidentlyPage, write_window_page
from monitoring.report.evidently_workspace import PROJECT_ID, add_snapshot, snapshot_id
from monitoring.report.served_lists import ServedLists
from monitoring.report.window_sample import BREADTH, FREQUENCY, MONEY, PER_USER, sample_window
from services.deployment.server import free_port
from tests.support.chart_windows import FLAT, ITEM_FRAME, MOVED, START, TIERS, USERS, events, figures, window
from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.errors import ArtifactError
from tierrec_core.data.interactions import from_days
from tierrec_core.evaluation.metrics import Truth, per_user

UI = Path(sys.prefix) / "bin" / "evidently"
PATIENCE = 120


@pytest.fixture(scope="module")
def before() -> pd.DataFrame:
    return window(0, FLAT)


@pytest.fixture(scope="module")
def after() -> pd.DataFrame:
    return window(1, MOVED)


@pytest.fixture(scope="module")
def moved(before, after, tmp_path_factory) -> EvidentlyPage:
    return write_window_page(before, after, TIERS, tmp_path_factory.mktemp("moved"), START + 28)


def test_each_tiers_categories_are_as_far_apart_as_scipy_says(before, after, moved):
    found = figures(moved.page.parent)
    for tier in TIERS:
        shares = [
            frame.loc[frame["tier"] == tier, "category"].value_counts(normalize=True).reindex(["x", "y", "z"])
            for frame in (before, after)
        ]
        assert found[f"category of {tier} users"] == pytest.approx(jensenshannon(*shares))
        assert found[f"category of {tier} users"] > 0.1


@pytest.mark.parametrize("column", [BREADTH, FREQUENCY])
def test_per_user_columns_count_once_a_user(before, after, moved, column):
    once = [frame.groupby("user_id")[column].first() for frame in (before, after)]
    assert len(once[0]) == USERS
    wanted = wasserstein_distance(*once) / max(once[0].std(ddof=0), 0.001)
    assert figures(moved.page.parent)[column] == pytest.approx(wanted)


def without_ids(document: str) -> str:
    """Drop the ids that Evidently draws anew for every document."""
    return re.sub(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", "", document)


def test_the_page_is_one_file_with_evidentlys_whole_document_in_its_frame(moved):
    text = moved.page.read_text()
    (frame,) = re.findall(r'srcdoc="([^"]*)"', text)
    document = moved.snapshot.get_html_str(as_iframe=False)
    assert without_ids(html.unescape(frame)) == without_ids(document)
    outside = text.replace(frame, "")
    assert not re.search(r"""(src|href)=["'](?!\.\./|data:)""", outside)


def test_nothing_drifts_where_nothing_moved(before, tmp_path):
    write_window_page(before, window(2, FLAT), TIERS, tmp_path, START + 28)
    found = figures(tmp_path)
    assert found["DriftedColumnsCount"]["share"] == 0
    assert {"event", "tier", "price", "value", *PER_USER} < set(found)


def test_served_lists_have_the_leaderboards_metrics(before, after, tmp_path):
    rng = np.random.default_rng(5)
    users, items = [f"u{number}" for number in range(80)], [f"i{number}" for number in range(40)]
    shown = np.stack([rng.permutation(len(items))[:10] for _ in users])
    did = [rng.choice(len(items), rng.integers(1, 15), replace=False) for _ in users]
    lists = pd.DataFrame(
        [
            (user, items[item], place)
            for user, row in zip(users, shown, strict=True)
            for place, item in enumerate(row, 1)
        ],
        columns=["user_id", "item_id", "rank"],
    )
    truth = pd.DataFrame(
        [(user, items[item]) for user, row in zip(users, did, strict=True) for item in row],
        columns=["user_id", "item_id"],
    )
    write_window_page(before, after, TIERS, tmp_path, START + 28, served=ServedLists(lists, truth))
    pairs = [(row, item) for row, own in enumerate(did) for item in own]
    wanted = per_user(shown, Truth.of(*map(np.array, zip(*pairs, strict=True)), len(items)), 10)
    found = figures(tmp_path)
    for name, ours in (("NDCG", "ndcg"), ("RecallTopK", "recall"), ("HitRate", "hit"), ("MRR", "mrr")):
        assert sorted(found[name], key=int) == [str(rank) for rank in range(1, 11)]
        assert found[name]["10"] == pytest.approx(wanted[ours].mean())
    hits = np.mean([len(set(row) & set(own)) / 10 for row, own in zip(shown, did, strict=True)])
    assert found["PrecisionTopK"]["10"] == pytest.approx(hits)
    assert found["category of light users"] > 0.1


def test_lists_alone_are_as_popular_and_diverse_as_a_plain_loop_says(before, after, tmp_path):
    rng = np.random.default_rng(6)
    items = [str(100 + number) for number in range(30)]  # ids that look like numbers
    category = {item: "xyz"[number % 3] for number, item in enumerate(items)}
    lists = {f"u{number}": list(rng.permutation(items)[: rng.integers(2, 12)]) for number in range(40)}
    known = [(f"u{user}", items[item]) for user in range(40) for item in rng.integers(0, 25, 9)]
    pairs = ["user_id", "item_id"]
    places = [(user, item, rank) for user, own in lists.items() for rank, item in enumerate(own, 1)]
    ranked = ServedLists(
        pd.DataFrame(places, columns=[*pairs, "rank"]),
        pd.DataFrame(columns=pairs),
        pd.DataFrame(known, columns=pairs),
        pd.DataFrame({"item_id": items, "category": [category[item] for item in items]}),
    )
    page, _ = write_window_page(before, after, TIERS, tmp_path, START + 28, served=ranked)
    users = {item: len({user for user, other in known if other == item}) for item in items}
    popular = {item: count / max(users.values()) for item, count in users.items() if count}
    seen = [[popular[item] for item in own[:10] if item in popular] for own in lists.values()]
    apart = [
        sum(category[a] != category[b] for a, b in combinations(own[:10], 2)) / len(own[:10]) for own in lists.values()
    ]
    found = figures(tmp_path)
    assert found["PopularityBiasMetric"] == pytest.approx(np.mean([np.mean(one) for one in seen if one]))
    assert found["Diversity"] == pytest.approx(np.mean(apart))
    assert "NDCG" not in found
    assert "the first list of each of 40 users" in page.read_text()
    assert "so there are no ranking metrics" in page.read_text()


def test_neither_money_without_prices_nor_diversity_without_categories(before, after, tmp_path):
    log = pd.DataFrame({"user_id": ["u1", "u2"], "item_id": ["a", "b"], "event": "purchase", "value": [pd.NA] * 2})
    log = EVENTS.conform(log.assign(timestamp=pd.Timestamp(START + 1, unit="D", tz="UTC")), "tests")
    plain = sample_window(log, ITEM_FRAME, {}, START, START + 28, 100, seed=0)
    lists = pd.DataFrame({"user_id": ["u1", "u1"], "item_id": ["a", "b"], "rank": [1, 2]})
    served = ServedLists(lists, lists.head(0), items=ITEM_FRAME.assign(category="unknown"))
    write_window_page(plain, plain, TIERS, tmp_path, START + 28, served=served)
    found = figures(tmp_path)
    assert FREQUENCY in found
    assert found.keys().isdisjoint({MONEY, "value", "Diversity"})


def test_unknown_items_have_no_popularity(before, after, tmp_path):
    lists = pd.DataFrame({"user_id": ["u1", "u1"], "item_id": ["a", "b"], "rank": [1, 2]})
    known = pd.DataFrame({"user_id": ["u2"], "item_id": ["z"]})
    write_window_page(
        before, after, TIERS, tmp_path, START + 28, served=ServedLists(lists, lists.head(0), known, ITEM_FRAME)
    )
    found = figures(tmp_path)
    assert "PopularityBiasMetric" not in found
    assert found["Diversity"] == 0  # a and b are both of category x


def test_short_lists_and_no_lists_are_no_failure(before, after, tmp_path):
    one = ServedLists(
        pd.DataFrame({"user_id": ["u1"], "item_id": ["a"], "rank": [1]}),
        pd.DataFrame({"user_id": ["u1"], "item_id": ["a"]}),
    )
    write_window_page(before, after, TIERS, tmp_path / "short", START + 28, served=one)
    assert figures(tmp_path / "short")["NDCG"] == {"1": 1.0}
    none = ServedLists(one.lists.head(0), one.truth)
    write_window_page(before, after, TIERS, tmp_path / "none", START + 28, served=none)
    assert "NDCG" not in figures(tmp_path / "none")


def test_an_empty_window_has_a_page_that_says_so_and_no_snapshot(before, tmp_path):
    page, snapshot = write_window_page(before, before.head(0), TIERS, tmp_path / "window", START + 28)
    assert snapshot is None
    assert "Nothing to draw" in page.read_text()
    assert figures(page.parent) == {}
    add_snapshot(snapshot, tmp_path / "ui", TIERS)
    assert not (tmp_path / "ui").exists()


def test_a_tier_that_is_gone_is_named_on_the_page(before, after, tmp_path):
    page, _ = write_window_page(before, after[after["tier"] != "light"], TIERS, tmp_path, START + 28)
    assert "category of light users" not in figures(tmp_path)
    assert "one window has no values: category of light users." in page.read_text()


@pytest.mark.parametrize("tiers", [("casual", "regular"), ("rare", "monthly", "weekly", "daily")])
def test_the_tiers_of_the_project_are_compared_in_their_order(tmp_path, tiers):
    tier_of = {f"u{number}": tiers[number % len(tiers)] for number in range(USERS)}
    frames = [
        sample_window(events(seed, shares), ITEM_FRAME, tier_of, START, START + 28, 10_000, 0)
        for seed, shares in ((0, FLAT), (1, MOVED))
    ]
    page, snapshot = write_window_page(*frames, tiers, tmp_path, START + 28)
    columns = [name for name in figures(tmp_path) if name.startswith("category of")]
    assert columns == [f"category of {tier} users" for tier in tiers]
    assert re.findall(r'<th scope="col">(\w+) users</th>', page.read_text()) == list(tiers)
    add_snapshot(snapshot, tmp_path / "ui", tiers)
    (dashboard,) = (tmp_path / "ui").rglob("dashboard.json")
    assert re.findall(r"category of (\w+) users", dashboard.read_text()) == list(tiers)


def test_a_window_added_twice_is_stored_once(before, moved, tmp_path):
    add_snapshot(moved.snapshot, tmp_path, TIERS)
    first = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    again = write_window_page(before, window(3, FLAT), TIERS, tmp_path / "page", START + 28)
    add_snapshot(again.snapshot, tmp_path, TIERS)
    assert sorted(p.name for p in (tmp_path / str(PROJECT_ID)).rglob("*.json")) == first
    named = write_window_page(before, window(3, FLAT), TIERS, tmp_path / "page", START + 28, name="new champion")
    assert snapshot_id(named.snapshot) != snapshot_id(again.snapshot)


def test_an_existing_project_of_the_name_is_used(moved, tmp_path):
    from evidently.ui.workspace import Workspace

    theirs = Workspace.create(str(tmp_path)).create_project("tierrec")
    add_snapshot(moved.snapshot, tmp_path, TIERS)
    (only,) = Workspace.create(str(tmp_path)).list_projects()
    assert only.id == theirs.id
    assert len(Workspace.create(str(tmp_path)).list_runs(only.id)) == 1


def test_a_damaged_workspace_is_named(moved, tmp_path):
    add_snapshot(moved.snapshot, tmp_path, TIERS)
    (tmp_path / str(PROJECT_ID) / "metadata.json").write_text("{")
    with pytest.raises(ArtifactError, match="is not an Evidently workspace"):
        add_snapshot(moved.snapshot, tmp_path, TIERS)


@pytest.mark.slow
def test_a_workspace_keeps_the_newest_windows(before, after, tmp_path):
    for day in (70, 28, 56, 42):
        add_snapshot(
            write_window_page(before, after, TIERS, tmp_path / str(day), START + day).snapshot,
            tmp_path / "ui",
            TIERS,
            3,
        )
    assert windows(tmp_path / "ui") == [f"{from_days(START + day):%Y-%m-%d}" for day in (42, 56, 70)]
    half = tmp_path / "ui" / ".aside" / str(PROJECT_ID) / "snapshots" / "half.json"  # as a kill leaves it
    half.parent.mkdir(parents=True)
    half.write_text("{")
    add_snapshot(
        write_window_page(before, after, TIERS, tmp_path / "again", START + 28).snapshot, tmp_path / "ui", TIERS, 3
    )
    assert windows(tmp_path / "ui") == [f"{from_days(START + day):%Y-%m-%d}" for day in (28, 56, 70)]
    assert not half.exists()


def windows(folder: Path) -> list[str]:
    """Names of the snapshots of a workspace."""
    return sorted(json.loads(path.read_text())["name"] for path in folder.rglob("snapshots/*.json"))


@pytest.fixture(scope="module")
def ui(before, moved, tmp_path_factory) -> Iterator[httpx.Client]:
    """`evidently ui` on a workspace of two windows, its API."""
    folder = tmp_path_factory.mktemp("ui")
    add_snapshot(moved.snapshot, folder, TIERS)
    add_snapshot(write_window_page(before, window(2, FLAT), TIERS, folder / "page", START + 35).snapshot, folder, TIERS)
    port = free_port()
    process = subprocess.Popen(
        [UI, "ui", "--workspace", folder, "--port", str(port)],
        env=os.environ | {"DO_NOT_TRACK": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            wait_for(client, process)
            yield client
    finally:
        process.terminate()
        process.wait(PATIENCE)


def wait_for(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            client.get("/api/version").raise_for_status()
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"evidently ui does not answer; it ended with {process.poll()}")


def test_evidently_ui_shows_the_project_with_both_windows(ui):
    (project,) = ui.get("/api/projects").json()
    assert (project["id"], project["name"]) == (str(PROJECT_ID), "tierrec")
    runs = ui.get(f"/api/projects/{PROJECT_ID}/snapshots").json()
    wanted = [f"{from_days(day):%Y-%m-%d}" for day in (START + 28, START + 35)]
    assert sorted(one["name"] for one in runs) == wanted
    assert sorted(one["timestamp"][:10] for one in runs) == wanted
    for run in runs:
        data = ui.get(f"/api/projects/{PROJECT_ID}/{run['id']}/data").json()
        assert "category of heavy users" in json.dumps(data)


def test_evidently_ui_draws_each_tiers_distance_over_the_windows(ui, moved):
    panels = ui.get(f"/api/v2/dashboards/{PROJECT_ID}").json()["panels"]
    wanted = panels[0]["values"][0]
    assert wanted["metric_labels"] == {"column": "category of light users"}
    series = ui.post(
        f"/api/v2/snapshots/{PROJECT_ID}/data_series_batch", json={"series_filter": [{**wanted, "metadata": {}}]}
    )
    series.raise_for_status()
    (line,) = series.json()["series"]
    first = figures(moved.page.parent)["category of light users"]
    assert line["values"][0] == pytest.approx(first)
    assert line["values"][1] < 0.1 < first
