"""The pages of a window: what Evidently finds on a planted shift, and what a person finds on the page of the loop."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.charts.evidently_page import frames, write
from monitoring.charts.history import render
from monitoring.charts.workspace import push
from tierrec_core.contracts import EVENTS, ITEMS

START = 19_800.0
TIERS = ("light", "medium", "heavy")
ITEM_FRAME = ITEMS.conform(
    pd.DataFrame({"item_id": list("abcd"), "category": ["x", "x", "y", "z"], "price": [1.0, 2.0, 3.0, 4.0]}),
    "test",
)
DECISION = {
    "at": "2024-03-01T00:00:00+00:00",
    "window": {"start": "2024-02-01", "end": "2024-02-29"},
    "state": "drift",
    "act": "retrain",
    "reasons": ["heavy: category 'x' 50.0% -> 10.0% <of their events>"],
    "model": "m",
    "key": "k1",
    "page": "windows/2024-02-29/drift.html",
}
GATE = {
    "champion": "shop:1",
    "challenger": "k1",
    "verdict": "better",
    "passed": True,
    "window": DECISION["window"],
    "checks": [{"name": "next: NDCG@10", "found": ".01 [.005, .02]", "wanted": ">= -.004", "passed": True}],
}
RELEASE = {
    "tag": "shop:2",
    "at": "2024-03-01T01:00",
    "revision": None,
    "reason": "drift",
    "state": "promoted",
}


def events(seed: int, shares: list[float]) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size = 9000
    day = START + rng.uniform(0, 28, size)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{one}" for one in rng.integers(60, size=size)],
            "item_id": rng.choice(list("abcd"), size, p=shares),
            "event": "purchase",
            "timestamp": pd.to_datetime((day * 86_400e6).astype("int64"), unit="us", utc=True),
            "value": rng.gamma(2.0, 2.0, size),
        }
    )
    return EVENTS.conform(frame, "test")


def window(seed: int, shares: list[float], rows: int = 10_000) -> pd.DataFrame:
    tier_of = {f"u{number}": TIERS[number % 3] for number in range(60)}
    return frames(events(seed, shares), ITEM_FRAME, tier_of, START, START + 28, rows, 0)


def drifts(folder: Path) -> dict[str, float]:
    found = json.loads((folder / "drift.json").read_text())["metrics"]
    return {one["config"]["column"]: one["value"] for one in found if "column" in one["config"]}


def test_a_planted_shift_shows_in_the_json_and_the_page_needs_no_network(tmp_path: Path) -> None:
    before = window(0, [0.4, 0.2, 0.2, 0.2])
    page, _ = write(before, window(1, [0.1, 0.1, 0.4, 0.4]), tmp_path / "moved", START + 28)
    write(before, window(2, [0.4, 0.2, 0.2, 0.2]), tmp_path / "same", START + 28)
    moved, same = drifts(tmp_path / "moved"), drifts(tmp_path / "same")
    for tier in TIERS:
        assert moved[f"category of {tier} users"] > 0.1 > same[f"category of {tier} users"]
    assert "<script src=" not in page.read_text()


def test_a_sample_holds_whole_users(tmp_path: Path) -> None:
    all_events = events(0, [0.25] * 4)
    some = frames(all_events, ITEM_FRAME, {}, START, START + 28, 1000, 0)
    assert 900 < len(some) <= 1000
    whole = all_events.merge(ITEM_FRAME[["item_id", "category"]], on="item_id")
    per_user = {round(one, 6) for one in whole.groupby("user_id")["value"].sum()}
    assert round(float(some["value"].sum()), 3) <= round(sum(per_user), 3)
    again = frames(all_events, ITEM_FRAME, {}, START, START + 28, 1000, 0)
    pd.testing.assert_frame_equal(some, again)


def test_the_workspace_has_one_project_with_every_window(tmp_path: Path) -> None:
    from evidently.ui.workspace import Workspace

    for number in (1, 2):
        _, snapshot = write(window(0, [0.25] * 4), window(number, [0.25] * 4), tmp_path / str(number), START)
        push(snapshot, tmp_path / "ui")
    workspace = Workspace.create(str(tmp_path / "ui"))
    (project,) = workspace.list_projects()
    assert len(workspace.list_runs(project.id)) == 2


@pytest.mark.parametrize("empty", [True, False])
def test_the_history_says_what_was_decided_and_why(tmp_path: Path, empty: bool) -> None:
    records: tuple[list[Any], ...] = ([], [], []) if empty else ([DECISION], [GATE], [RELEASE])
    render(*records, tmp_path / "index.html")
    first = (tmp_path / "index.html").read_bytes()
    render(*records, tmp_path / "index.html")
    assert (tmp_path / "index.html").read_bytes() == first
    said = first.decode()
    assert ("&lt;of their events&gt;" in said) is not empty
    assert ('href="windows/2024-02-29/drift.html"' in said) is not empty
    assert ("shop:2" in said) is not empty
    assert ("None yet" in said) is empty
